"""The script for a lent GPU machine, rehearsed: what is installed there, images in packs, little time."""

import os
import runpy
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pandas as pd
import pytest
from images import class_folders, tiny_imagenet
from packaging.utils import canonicalize_name

from tlbook import models
from tlbook.book import records

ROOT = Path(__file__).resolve().parent.parent
# What the machine's image has (read on 2026-11-17) of the packages that ours need.
THERE = set(
    "annotated-doc cloudpickle contourpy cuda-bindings cuda-pathfinder cycler filelock fonttools fsspec "
    "jinja2 joblib kiwisolver markdown-it-py markupsafe matplotlib mdurl mpmath narwhals networkx numpy "
    "packaging pandas pillow pygments pyparsing python-dateutil rich safetensors scikit-learn scipy seaborn "
    "setuptools shellingham sympy threadpoolctl torch tqdm triton typer typing-extensions".split()
)
# What a later typer than the image's brings: ours uses none of it (tests/test_packaging.py).
BROUGHT = {"pydantic", "pydantic-core", "annotated-types", "typing-inspection"}
TINY = """
few = dict(train=12, test=20, epochs=1, batch=8)
SCALES["gpu"] = GPU.replace(
    network="fixup_small8", side=32, source=few, every_target=few, seeds=(3,), similarity_images=4,
    shuffles=dict(sizes=("*", 32), epochs=1, seeds=dict.fromkeys(TARGETS, 1)),
    checkpoints=dict(starts=(0, 1), epochs=1, random_epochs=None, seeds=1),
)
"""


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "benchmarks" / "device.py"))


@pytest.fixture
def machine(tmp_path):
    """A copy of the repository, not installed, with a tiny `gpu`; and how a command is run in it, by Python
    with nothing but the packages that are there."""
    ours = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for folder in ("tlbook", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / "copy" / folder, ignore=ours)
    with open(tmp_path / "copy" / "tlbook" / "scales.py", "a") as file:
        file.write(TINY)
    site = tmp_path / "site"
    site.mkdir()
    for found in distributions():
        name = canonicalize_name(found.name)
        if name in THERE | BROUGHT or name.startswith(("nvidia-", "cuda-")):
            for top in {file.parts[0] for file in found.files} - {"..", "__pycache__"}:
                if not (site / top).exists():
                    (site / top).symlink_to(found.locate_file(top))
    path = os.pathsep.join([str(site), str(tmp_path / "copy")])
    env = os.environ | {"PYTHONPATH": path, "TLBOOK_WORK": str(tmp_path / "work")}
    python = sys._base_executable  # which has none of the packages that are installed here
    assert subprocess.run([python, "-c", "import distributed"], env=env, stderr=subprocess.DEVNULL).returncode

    def run(*words):
        call = [python, "benchmarks/device.py", *map(str, words)]
        return subprocess.run(call, cwd=tmp_path / "copy", env=env, capture_output=True, text=True)

    return run


def image_sets(root):
    tiny_imagenet(root, train=6, val=4)
    for domain in ("photo", "cartoon", "sketch"):
        class_folders(root / "PACS" / domain, ("cat", "dog", "elk"), count=20)
    class_folders(root / "xray", ("covid", "normal", "viral"), count=20)
    return root


def test_a_bare_machine_brings_its_tables_back(machine, script, tmp_path):
    """Image sets come in several packs; what comes back are the tables, and runs that are trained no more."""
    packs = script["pack"](image_sets(tmp_path / "data"), tmp_path / "packs", 0.1)
    assert len(packs) > 1 and all(file.stat().st_size <= 100_000 for file in packs)
    for number, part in enumerate(packs):  # one after the other
        (tmp_path / f"part{number}").mkdir()
        part.rename(tmp_path / f"part{number}" / part.name)
        done = machine("take", tmp_path / f"part{number}")
    assert done.stdout.strip() == str(sum(file.is_file() for file in (tmp_path / "data").rglob("*")))
    words = ("--scale", "gpu", "--commit", "abc", "real:feature_reuse")
    late = machine("run", tmp_path / "late", "--train", 1e-9, "--minutes", 9, *words)
    assert late.returncode == 1, late.stderr
    assert "real:feature_reuse: 0 of 9 runs" in late.stdout and "recorded: \n" in late.stdout
    done = machine("run", tmp_path / "out", "--train", 9, "--minutes", 9, *words)
    assert done.returncode == 0 and "0 runs stay behind" in done.stdout, done.stdout + done.stderr[-2000:]
    assert "real:feature_reuse: 9 of 9 runs" in done.stdout and "recorded: real:feature_reuse" in done.stdout
    script["restore"](tmp_path / "out", tmp_path / "here")
    found = records.load_all("gpu", "feature_reuse", tmp_path / "here" / "records")
    assert {"learning_curves", "block_shuffle", "convergence", "domains"} <= set(found)
    made = records.provenance("gpu", "feature_reuse", tmp_path / "here" / "records")
    assert (made["commit"], made["seeds"], made["targets"]) == ("abc", [3], ["real"])
    brought = {path.name for path in (tmp_path / "here" / "runs").iterdir()}
    assert brought == {path.name for path in (tmp_path / "work" / "runs").iterdir() if path.is_dir()} != set()
    assert isinstance(found["domains"], pd.DataFrame) and set(made["specs"]) == brought


def test_what_does_not_fit_stays_behind_by_name(script, monkeypatch, tmp_path, capsys):
    """Records come before runs, runs that are to go on before finished ones, in volumes that join again."""
    bring = script["bring"].__globals__
    monkeypatch.setitem(bring, "WORK", tmp_path)
    monkeypatch.setitem(bring, "MEGA", 1000)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "table.csv").write_bytes(os.urandom(3000))
    for name, size in {"a": 40_000, "b.partial": 20_000, "c": 9_000}.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "weights").write_bytes(os.urandom(size))
    script["bring"](tmp_path / "out")
    assert "1 runs stay behind: a" in capsys.readouterr().out
    sizes = [file.stat().st_size for file in sorted((tmp_path / "out").iterdir())]
    assert len(sizes) == 3 and sizes[:2] == [15_000, 15_000] and sizes[2] < 15_000
    script["restore"](tmp_path / "out", tmp_path / "here")
    for name in ("records/table.csv", "runs/b.partial/weights", "runs/c/weights"):
        assert models.sha256(tmp_path / "here" / name) == models.sha256(tmp_path / name)
    assert not (tmp_path / "here" / "runs" / "a").exists()
