"""What is open to a reader of the code, done from outside: a fifth target is a line of `tlbook/scales.py`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from images import class_folders

import tlbook

PACKAGE = Path(tlbook.__file__).parent

FIFTH = """
import sys
from tlbook import cli, scales
from tlbook.book import parameters, results
from tlbook.build import facts
from tlbook.evidence import style
from tlbook.questions.feature_reuse import QUESTION, figures

TARGETS = ("real", "clipart", "quickdraw", "xray", "painting")
assert scales.TARGETS == scales.SMOKE.targets == TARGETS
assert scales.get("laptop").targets == TARGETS[:4]
assert facts.scales_table().loc["painting", "laptop"] == "–"
assert parameters.read({"targets": "painting"}).targets == ("painting",)
assert len({*style.ROLE_COLOURS.values()}) == len({*style.ROLE_MARKERS.values()}) == 5

few = dict(images=20, test_images=20, source_images=60, epochs=1, source_epochs=1, seeds=0, block_sizes="*")
given = parameters.read(few)
result = results.run(QUESTION, given.apply(), given.targets, given.seeds, workers=1, show=False)
drawn = {"learning_curves": figures.learning_curves, "block_shuffle": figures.block_shuffle}
for name, draw in drawn.items():
    titles = [ax.get_title() for ax in draw(result.tables[name]).axes]
    assert len(titles) == 5 and all(role in title for role, title in zip(TARGETS, titles)), titles
assert set(result.tables["domains"].role) == {"source", *TARGETS}

sys.argv = "tlbook plan --scale smoke --target painting".split()
cli.main()
"""


def test_a_fifth_target_is_a_line(tmp_path):
    """Planned, trained and drawn by the package with that one line more, in a process of its own."""
    ours = shutil.ignore_patterns("__pycache__", "pretrained")
    copy = shutil.copytree(PACKAGE, tmp_path / "tlbook", ignore=ours)
    folder = class_folders(tmp_path / "paintings", ("cat", "dog", "eel"), count=30)
    text = (copy / "scales.py").read_text()
    before, after = text.split("}\nTARGETS = ")
    line = f'    "painting": dict(smoke="folder:{folder}"),\n'
    (copy / "scales.py").write_text(f"{before}{line}}}\nTARGETS = {after}")
    ran = subprocess.run(
        [sys.executable, "-c", FIFTH], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-3000:]
    assert "image-passes/s a worker" in ran.stdout
