"""The page of promises names tests that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "book" / "promises.md").read_text()
NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)
DEEP = ("test_kills.py", "test_two_builds.py", "test_bad_input.py", "test_steady.py")


def functions(file):
    path = ROOT / "tests" / file
    return [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]


def test_each_named_test_is_there():
    assert len(NAMED) > 30 and "book/promises" in (ROOT / "_toc.yml").read_text()
    missing = [f"{file}::{name}" for file, name in NAMED if name not in functions(file)]
    assert not missing


def test_each_deep_test_is_named_and_run_by_make_test_deep():
    called = (ROOT / "Makefile").read_text().partition("test-deep:")[2].partition("\nlint:")[0]
    for file in DEEP:
        assert f"tests/{file}" in called
        assert {(file, name) for name in functions(file) if name.startswith("test_")} <= set(NAMED)


def test_every_promise_names_a_test():
    promises = re.findall(r"^- .*\n(.*)", PAGE, re.MULTILINE)
    assert all(after.startswith("  - `test_") for after in promises) and len(promises) > 20
