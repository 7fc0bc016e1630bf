"""Execute the notebooks with Papermill, each from its clean source, and only where something changed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import papermill

from tlbook import parameters as schema
from tlbook.build import gate, keys, stage
from tlbook.errors import TlbookError

PROMPTS = {"injected-parameters": "what this page was built with", "parameters": "parameters"}


def execute_all(
    root: Path, staged: Path, offered: dict, timeout: int, say: Callable[[str], None] = print
) -> list[str]:
    """Bring every notebook of ``staged`` up to date; return one sentence per notebook that failed.

    ``offered`` maps parameter names to values; a notebook gets those that it declares.
    """
    failures = []
    sources = stage.notebooks(root)
    for number, source in enumerate(sources, 1):
        name = source.relative_to(root).as_posix()
        given = chosen(name, declared(source), offered)
        target = staged / "notebooks" / source.name
        key = keys.key(root, source, given)
        reasons = why(target, key)
        if not reasons:
            say(f"[{number}/{len(sources)}] {name}: reused (unchanged: {', '.join(key)})")
            continue
        say(f"[{number}/{len(sources)}] {name}: executing ({', '.join(reasons)})")
        began = time.monotonic()
        found = execute(source, target, given, timeout)
        if found:
            failures.append(f"{name}: {'; '.join(found)} (see {target.relative_to(root)}).")
            continue
        _remember(target, key)
        say(f"        {name}: {time.monotonic() - began:.0f} s")
    return failures


def declared(source: Path) -> list[str]:
    """Names in the notebook's ``parameters`` cell, [] without one."""
    return list(papermill.inspect_notebook(str(source)))


def chosen(name: str, names: list[str], offered: dict) -> dict:
    """Of the values offered, those that the notebook declares.

    Papermill only warns of names that it does not know, so a notebook that declares one which
    tlbook.parameters does not validate is refused here.
    """
    unknown = sorted(set(names) - set(schema.NAMES))
    if unknown:
        raise TlbookError(
            f"{name} declares {', '.join(unknown)}, which tlbook.parameters does not know; "
            f"it knows {', '.join(schema.NAMES)}."
        )
    return {key: value for key, value in offered.items() if key in names}


def why(target: Path, key: dict[str, str]) -> list[str]:
    """Reasons to execute, as words; [] when the executed notebook at ``target`` can be reused."""
    memory = _memory(target)
    if not target.exists():
        return ["it was never executed here"]
    if not memory.exists():
        return ["its last execution did not end well"]
    try:
        old = json.loads(memory.read_text())
    except ValueError:
        return ["the note on its last execution is broken"]
    if old.get("output") != keys.digest_text(target.read_text()):
        return ["its executed copy was changed by hand"]
    return [f"{name} changed" for name in keys.changed(old["key"], key)]


def execute(source: Path, target: Path, given: dict, timeout: int) -> list[str]:
    """Run ``source`` with ``given`` into ``target``; return what is wrong with the outcome, [] if nothing.

    The working directory is the staged folder, so that a file that a notebook drops does not land in the
    tree. Whatever ran last is left at ``target``, to look at.
    """
    _memory(target).unlink(missing_ok=True)
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # this environment's kernel before a user-wide one
    try:
        papermill.execute_notebook(
            str(source), str(target), parameters=given, cwd=str(target.parent), execution_timeout=timeout,
            extra_arguments=["--IPKernelApp.log_level=40"],  # else each kernel warns of its local sockets
            progress_bar={"desc": f"        {source.stem}", "unit": "cell", "mininterval": 1.0, "ncols": 88},
        )
    except papermill.PapermillExecutionError:
        pass  # the gate names the cell
    except Exception as error:  # a dead kernel, a timeout, no such kernelspec
        line = (str(error).strip().splitlines() or [""])[0]
        return [f"{type(error).__name__}: {line}"]
    notebook = nbformat.read(target, as_version=4)
    tidy(notebook)
    nbformat.write(notebook, target)
    return gate.problems(notebook)


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Fold the cells with parameters, each behind words that say what it is.

    The cell that Papermill injects does not inherit the tags of the cell it follows.
    """
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        for tag, words in PROMPTS.items():
            if tag in tags:
                cell.metadata["tags"] = [*(t for t in tags if not t.startswith("hide-")), "hide-input"]
                prompts = {"code_prompt_show": f"Show {words}", "code_prompt_hide": f"Hide {words}"}
                cell.metadata["mystnb"] = cell.metadata.get("mystnb", {}) | prompts


def _remember(target: Path, key: dict[str, str]) -> None:
    note = {"key": key, "output": keys.digest_text(target.read_text())}
    _memory(target).parent.mkdir(exist_ok=True)
    _memory(target).write_text(json.dumps(note, indent=1))


def _memory(target: Path) -> Path:
    """Where the key of an executed notebook is kept: out of Sphinx's sight, beside the notebooks."""
    return target.parent.parent / ".executed" / f"{target.stem}.json"
