"""Execute the notebooks with Papermill, each from its clean source, and only where something changed."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from joblib import cpu_count
from tqdm import tqdm

from tlbook import questions, scales
from tlbook.book import diagnosis
from tlbook.book import parameters as schema
from tlbook.build import gate, keys, stage
from tlbook.errors import TlbookError

QUIET = 5.0  # seconds between two lines of a notebook's progress
PROMPTS = {
    "injected-parameters": "what this page was built with",
    "parameters": "parameters",
    "plumbing": "what loads and draws",
}


@dataclass(frozen=True)
class Job:
    """A notebook to execute: its source, where the executed copy goes, its parameters, what it depends on."""

    name: str
    source: Path
    target: Path
    given: dict
    key: dict[str, str]


def execute_all(
    root: Path, staged: Path, offered: dict, timeout: int, say: Callable[[str], None] = print
) -> list[str]:
    """Bring every notebook of ``staged`` up to date; return one sentence per notebook that failed.

    ``offered`` maps parameter names to values; a notebook gets those that it declares. What the notebooks
    need is trained first, so that they can then be executed side by side, one a core.
    """
    jobs = outdated(root, staged, offered, say)
    if offered["results"] == "run":
        train([job.source.stem for job in jobs], offered["scale"], say)
    side_by_side = max(1, min(cpu_count(), len(jobs)))
    os.environ.setdefault("OMP_NUM_THREADS", str(cpu_count() // side_by_side))  # read by each kernel
    pool = ThreadPoolExecutor(side_by_side)
    try:
        failures = list(pool.map(lambda job: _bring_up_to_date(job, timeout, say), jobs))
    finally:  # interrupted: kernels end with this process, and are not waited for
        pool.shutdown(wait=False, cancel_futures=True)
    return [
        f"{job.name}: {'; '.join(found)} (see {job.target.relative_to(root)})."
        for job, found in zip(jobs, failures, strict=True)
        if found
    ]


def outdated(root: Path, staged: Path, offered: dict, say: Callable[[str], None] = print) -> list[Job]:
    """The notebooks whose executed copy is missing or was made from something else; says why, or why not."""
    jobs = []
    for source in stage.notebooks(root):
        name = source.relative_to(root).as_posix()
        given = chosen(name, declared(source), offered)
        job = Job(name, source, staged / "notebooks" / source.name, given, keys.key(root, source, given))
        reasons = why(job.target, job.key)
        if reasons:
            jobs.append(job)
            say(f"{name}: to be executed ({', '.join(reasons)})")
        else:
            say(f"{name}: reused (unchanged: {', '.join(job.key)})")
    return jobs


def train(notebooks: Sequence[str], scale: str, say: Callable[[str], None] = print) -> None:
    """Train what the notebooks of these names need, with a progress bar; all of it may be there already."""
    asked = [question for question in questions.every().values() if question.notebook in notebooks]
    if not asked:
        return
    from tlbook.training import executors, runs  # with it torch, which pages made from records do without
    from tlbook.training.specs import unique

    value = scales.get(scale)
    specs = unique(s for q in asked for s in q.study().runs(value, value.targets, value.seeds))
    executors.ensure_all(spec for spec in specs if spec.role == scales.SOURCE)
    if old := runs.outdated(specs):
        say(f"Training {len(old)} runs anew, which started from other weights than are there now ...")
        executors.ensure_all(old, retrain=True)
    missing = sum(not runs.is_done(spec) for spec in specs)
    if missing:
        say(f"Training {missing} runs for {', '.join(question.name for question in asked)} ...")
        executors.ensure_all(specs)


def _bring_up_to_date(job: Job, timeout: int, say: Callable[[str], None]) -> list[str]:
    began = time.monotonic()
    found = execute(job.source, job.target, job.given, timeout)
    if not found:
        _remember(job.target, job.key)
    say(f"{job.name}: {'failed after' if found else 'executed in'} {time.monotonic() - began:.0f} s")
    return found


def declared(source: Path) -> list[str]:
    """Names in the notebook's ``parameters`` cell, [] without one.

    Refused: a name that ``papermill --help-notebook`` would leave out.
    """
    cells = nbformat.read(source, as_version=4).cells
    tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    names = schema.assigned(tagged[0]) if tagged else []
    hidden = [name for name in names if name not in papermill.inspect_notebook(str(source))]
    if hidden:
        raise TlbookError(
            f"Papermill cannot read how {source.name} declares {', '.join(hidden)}: write it on one line, as "
            "`name: str = value  # meaning`, with no second '=' in the line."
        )
    return names


def chosen(name: str, names: list[str], offered: dict) -> dict:
    """Of the values offered, those that the notebook declares.

    Papermill only warns of names that it does not know, so a notebook that declares one which
    tlbook.book.parameters does not validate is refused here.
    """
    known = dict.fromkeys((*schema.NAMES, *diagnosis.NAMES))
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise TlbookError(
            f"{name} declares {', '.join(unknown)}, which tlbook.book.parameters does not know; "
            f"it knows {', '.join(known)}."
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
            str(source),
            str(target),
            parameters=given,
            cwd=str(target.parent),
            execution_timeout=timeout,
            stderr_file=Ticker(lambda line: tqdm.write(f"{source.stem}: {line}", file=sys.stderr)),
            extra_arguments=["--IPKernelApp.log_level=40"],  # else each kernel warns of its local sockets
            progress_bar={"desc": f"{source.stem:20}", "unit": "cell", "mininterval": 1.0, "ncols": 88},
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


class Ticker:
    """A file that passes on the newest line written to it, at most one every few seconds.

    Notebooks write progress bars to stderr, which pages drop; here it shows that a long cell is alive.
    """

    def __init__(self, say: Callable[[str], None], every: float = QUIET, clock=time.monotonic):
        self.say, self.every, self.clock = say, every, clock
        self.last = -float("inf")

    def write(self, text: str) -> None:
        lines = text.replace("\r", "\n").strip().splitlines()
        if not lines:
            return
        now = self.clock()
        if now - self.last >= self.every:
            self.last = now
            self.say(lines[-1].strip())

    def flush(self) -> None:
        pass


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Fold the cells with parameters, and those that only load and draw, behind words that say what they are.

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
