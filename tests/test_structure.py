"""The rules of the house: imports go one way, and torch stays where networks are."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tlbook
from tlbook import code_state, questions

PACKAGE = Path(tlbook.__file__).parent
# From the words that all share to what readers see. A module may import from its own place and those before.
FLOORS = (
    ("errors",), ("checks", "settings"), ("scales",), ("vocabulary", "intervals"), ("tables", "question"),
    ("metrics", "code_state"), ("data",), ("models",), ("training",), ("evidence",), ("questions",),
    ("book",), ("build",), ("cli",), ("__main__",),
)  # fmt: skip
TORCH = (
    "metrics", "models", "data", "training", "questions.grid", "questions.plan",
    "questions.your_network.study",
)  # fmt: skip


def modules() -> dict[str, Path]:
    """Module name without the package's -> file."""
    found = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    found.pop("")
    return found


def imports(file: Path, top_level: bool = False) -> set[str]:
    """Full names that a file imports: anywhere, or when it is itself imported."""
    tree = ast.parse(file.read_text())
    found = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(file: Path, top_level: bool = False) -> set[str]:
    """What a file imports of the package, without the package's name."""
    return {n.removeprefix("tlbook.") for n in imports(file, top_level) if n.startswith("tlbook.")}


def floor(name: str) -> int:
    return next(place for place, names in enumerate(FLOORS) if name.split(".")[0] in names)


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_one_way(name):
    for imported in ours(modules()[name]):
        assert floor(imported) <= floor(name), f"{name} imports {imported}"


def room(name: str) -> str | None:
    """The question whose room a module stands in."""
    parts = name.split(".")
    return parts[1] if parts[0] == "questions" and len(parts) > 1 and parts[1] in questions.every() else None


def test_a_question_imports_no_other_questions_room():
    for name, file in modules().items():
        if own := room(name):
            may = (None, own, *code_state.ASKS.get(own, ()))
            others = {imported for imported in ours(file) if room(imported) not in may}
            assert not others, f"{name} imports {others}"


def test_rooms_that_ask_others_are_measured_by_what_measures_those():
    for name, asked in code_state.ASKS.items():
        files = {modules()[one] for one in modules() if room(one) == name}
        found = {room(imported) for file in files for imported in ours(file)} - {None, name}
        assert found == set(asked)
        theirs = set().union(*(code_state.measuring(PACKAGE, other) for other in asked))
        assert theirs <= set(code_state.measuring(PACKAGE, name))


def test_torch_is_imported_where_networks_are():
    for name, file in modules().items():
        kind = name.split(".")[2] if room(name) and name.count(".") > 1 else ""
        allowed = name.startswith(TORCH) or kind in ("method", "study") or name == "questions.setup.study"
        found = {imported for imported in imports(file) if imported.split(".")[0] == "torch"}
        assert allowed or not found, f"{name} imports {found}"


def test_what_measures_imports_nothing_that_shows_or_judges():
    """Else a change of what `code_state.measuring` leaves out could change a number."""
    measuring = set(code_state.measuring(PACKAGE))
    assert PACKAGE / "training" / "loop.py" in measuring and PACKAGE / "book" / "pages.py" not in measuring
    assert PACKAGE / "questions" / "criticality" / "tables.toml" in measuring
    files = modules()
    for name, file in files.items():
        if file not in measuring or file.name == "__init__.py":  # a room's wiring names all that is in it
            continue
        for imported in ours(file):
            there = files.get(imported) or files.get(imported.rpartition(".")[0])
            wiring = there is None or there.name == "__init__.py"
            assert wiring or there in measuring, f"{name} imports {imported}"


def test_all_but_training_is_imported_without_torch():
    """Pages of records work where torch is not installed: figures, statements, pages, the command line."""
    names = [name for name in modules() if not name.startswith(TORCH) and name != "__main__"]
    light = [f"tlbook.{name}" for name in names if not {"method", "study"} & set(name.split("."))]
    program = f"""
import importlib, sys
class NoTorch:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, NoTorch())
for name in {light!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-800:]
