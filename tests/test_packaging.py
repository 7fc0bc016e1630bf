"""pyproject.toml is the one list of dependencies; constraints.txt and environment.yml agree with it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tlbook

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}  # PyPI: conda-forge


def requirements(*extras: str) -> dict[str, Requirement]:
    """The project's own requirements and those of the extras, by name."""
    optional = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in optional[extra])]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def pins() -> dict[str, str]:
    text = (ROOT / "constraints.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+]+", line) for line in lines)
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines)
    return {canonicalize_name(name): version for name, version in found.items()}


def conda() -> dict[str, Requirement]:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert all(isinstance(line, str) for line in listed), "a pip section would install dependencies again"
    return {r.name: r for r in map(Requirement, listed)}


def test_every_requirement_has_a_pin_that_it_admits():
    pinned = pins()
    for name, requirement in requirements("book", "cluster", "test").items():
        assert name in pinned, f"constraints.txt has no version of {name}"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} refuses {pinned[name]}"


def test_pins_leave_the_build_of_pytorch_open():
    assert not [name for name in pins() if re.match(r"nvidia|cuda|triton", name)]
    assert "+" not in pins()["torch"]


def test_environment_lists_what_pyproject_lists():
    listed = conda()
    wanted = {CONDA_NAMES.get(name, name): r for name, r in requirements("book").items()}
    assert set(listed) - {"python", "pip"} == set(wanted)
    for name, requirement in wanted.items():
        assert listed[name].specifier == requirement.specifier, name
    assert str(listed["python"].specifier) == PROJECT["requires-python"]


def test_environment_leaves_the_project_to_pip_without_dependencies():
    post_build = ROOT / "postBuild"
    assert os.access(post_build, os.X_OK)
    assert "pip install --no-deps --editable ." in post_build.read_text()


def test_jupyter_book_stays_below_2():
    assert not requirements("book")["jupyter-book"].specifier.contains("2.0")


def test_version_is_the_same_everywhere():
    assert PROJECT["version"] == tlbook.__version__
    assert f"version: {tlbook.__version__}" in (ROOT / "CITATION.cff").read_text()


BRING = {"PIL": "pillow", "sklearn": "scikit-learn", "bs4": "beautifulsoup4", "yaml": "pyyaml"}
# Not imported by name: commands that are run, what Jupyter starts, and a plug-in of pytest.
STARTED = {"jupyter-book", "ipykernel", "ruff", "pytest-xdist"}


def imported(*folders: str) -> set[str]:
    """The distributions whose modules the Python files and notebooks of some folders import."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    texts = [path.read_text() for path in paths]
    for path in [path for folder in folders for path in sorted((ROOT / folder).rglob("*.ipynb"))]:
        cells = json.loads(path.read_text())["cells"]
        texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    found = set()
    for node in (node for text in texts for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.partition(".")[0])
    ours = {"tlbook", *(path.stem for name in ("tests", "benchmarks") for path in (ROOT / name).glob("*.py"))}
    return {canonicalize_name(BRING.get(name, name)) for name in found - set(sys.stdlib_module_names) - ours}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    """By the package and its notebooks what comes with [book,cluster]; by the tests [test] too."""
    package, all_code = imported("tlbook", "notebooks"), imported("tlbook", "notebooks", "tests")
    assert "numpy" in package and "pytest" in all_code
    shown = set(requirements("book", "cluster"))
    assert package <= shown <= package | STARTED
    tested = set(requirements("book", "cluster", "test"))
    assert all_code <= tested <= all_code | STARTED


def test_the_package_without_the_book_needs_nothing_of_the_books():
    """All but what builds the book and shows pages imports what is installed without its extra."""
    rooms = [
        path.name
        for path in (ROOT / "tlbook").iterdir()
        if path.is_dir() and path.name not in ("book", "build")
    ]
    assert "training" in rooms
    assert imported(*(f"tlbook/{room}" for room in rooms)) <= set(requirements("cluster"))


def test_ci_calls_make_and_the_workflow_calls_ci():
    ci = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert {"book", "test"} <= set(re.findall(r"^step (\w+)$", ci, re.MULTILINE))
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text())
    runs = {name: str([step.get("run") for step in job["steps"]]) for name, job in workflow["jobs"].items()}
    assert "'.ci/run'" in runs["build"] and "make test-deep" in runs["deep"]
    assert "--resolution lowest-direct" in runs["lowest"] and "make test" in runs["versions"]
    assert workflow["jobs"]["versions"]["strategy"]["matrix"]["python"] == ["3.12", "3.13", "3.14"]


@pytest.mark.parametrize("asked", [{}, {"PYTHON": "no-such-python"}])
def test_make_names_what_python_it_needs(asked, tmp_path):
    """Without a new enough Python, `make` ends with one sentence and makes nothing."""
    venv = tmp_path / "venv"
    empty = tmp_path / "bin"
    empty.mkdir()
    for tool in ("sh", "make"):
        (empty / tool).symlink_to(f"/usr/bin/{tool}" if Path(f"/usr/bin/{tool}").exists() else f"/bin/{tool}")
    call = ["make", "install", f"VENV={venv}", *(f"{k}={v}" for k, v in asked.items())]
    done = subprocess.run(call, cwd=ROOT, env={"PATH": str(empty)}, capture_output=True, text=True)
    assert done.returncode
    assert "tlbook needs Python 3.11 or newer" in done.stderr
    assert not venv.exists()
