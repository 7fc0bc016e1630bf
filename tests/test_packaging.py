"""pyproject.toml is the one list of dependencies; constraints.txt and environment.yml agree with it."""

from __future__ import annotations

import ast
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
    for name, requirement in requirements("book", "test").items():
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


def test_what_the_package_imports_is_declared():
    """Third-party modules imported anywhere in tlbook, against the requirements that bring them."""
    bring = {"PIL": "pillow", "sklearn": "scikit-learn", "jupyter_book": "jupyter-book"}
    imported = set()
    for path in (ROOT / "tlbook").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(node.module.partition(".")[0])
    third_party = imported - set(sys.stdlib_module_names) - {"tlbook"}
    declared = set(requirements("book"))
    assert "numpy" in third_party
    assert {canonicalize_name(bring.get(name, name)) for name in third_party} <= declared


def test_ci_calls_make_and_the_workflow_calls_ci():
    ci = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert {"book", "test"} <= set(re.findall(r"^step (\w+)$", ci, re.MULTILINE))
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text())
    steps = workflow["jobs"]["build"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]


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
