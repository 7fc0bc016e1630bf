"""Pages drawn from made-up records in a process that cannot import torch."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from bs4 import BeautifulSoup
from made_up import provenance

HERE = Path(__file__).parent
PROGRAM = """
import json, pickle, sys
from pathlib import Path
class NoTorch:
    def find_spec(self, name, *_):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
from tlbook.book import records
root, question, *names = Path(sys.argv[1]), *sys.argv[2:]
records.REPOSITORY = root
records.folder = lambda scale, question, _=None: root / "book" / "records" / scale / question
records.write("laptop", question, *pickle.loads((root / "made.pkl").read_bytes()))
from test_notebooks import run_cells, source
given = {"scale": "laptop", "results": "records"}
print(json.dumps([run_cells(source(name), given) for name in names]))
"""


def drawn(
    root: Path, question: str, found: Mapping[str, pd.DataFrame], roles: Sequence[str], *names: str
) -> list[list[BeautifulSoup]]:
    """What each cell of the notebooks ``names`` shows of these tables, recorded at laptop under ``root``."""
    (root / "made.pkl").write_bytes(pickle.dumps((dict(found), provenance(roles))))
    call = [sys.executable, "-c", PROGRAM, str(root), question, *names]
    path = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(call, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [[BeautifulSoup(html, "html.parser") for html in page] for page in json.loads(done.stdout)]
