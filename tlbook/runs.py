"""RunSpec -> run directory. A run is trained once, by whoever asks first, and found again by its id.

A finished run is ``<root>/<id>/`` with ``spec.json``, ``history.csv``, ``checkpoints/*.safetensors`` and the
mark ``complete.json``; while it trains it is ``<id>.partial/`` with ``resume.safetensors`` besides, from which a
killed run goes on. A whole directory is renamed at the end, so that nothing half-written is ever found.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock
from torch import Tensor
from tqdm import tqdm

from tlbook import data, models
from tlbook.data.decode import cache_folder
from tlbook.errors import TlbookError
from tlbook.scales import SOURCE
from tlbook.specs import Checkpoint, File, RunSpec, Weights
from tlbook.train import State, initial, prepare, train

RESUME_SECONDS = 60.0
SHIPPED = Path(__file__).parent / "pretrained"  # <scale>.safetensors beside <scale>.json


def root() -> Path:
    """Where runs live: ``TLBOOK_RUNS``, or ``runs`` in the cache folder, outside any tree."""
    named = os.environ.get("TLBOOK_RUNS", "").strip()
    return Path(named).expanduser() if named else cache_folder() / "runs"


def device() -> str:
    """Where runs train: ``TLBOOK_DEVICE``, or a GPU if there is one. It does not change a run's id."""
    return os.environ.get("TLBOOK_DEVICE", "").strip() or ("cuda" if torch.cuda.is_available() else "cpu")


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run."""

    path: Path

    @property
    def id(self) -> str:
        """The run's id, which is its directory's name."""
        return self.path.name

    @property
    def complete(self) -> dict:
        """What was noted at its end: wall seconds, best epoch, device, threads, library versions."""
        return json.loads((self.path / "complete.json").read_text())

    @property
    def spec(self) -> dict:
        """Its spec as plain values: ``identity`` and what was noted beside it."""
        return json.loads((self.path / "spec.json").read_text())

    def history(self) -> pd.DataFrame:
        """All measurements: epoch, split (train, dev, test), metric (accuracy, auc, loss), value."""
        return pd.read_csv(self.path / "history.csv")

    def kept(self) -> list[int]:
        """The epochs whose weights it keeps."""
        return sorted(int(p.stem.removeprefix("epoch-")) for p in self.path.glob("checkpoints/epoch-*.safetensors"))

    def weights(self, epoch: int | str) -> dict[str, Tensor]:
        """The state dict at an epoch, or at the "best" or "final" one; an epoch not kept is refused."""
        epoch = max(self.kept()) if epoch == "final" else epoch
        path = self.path / "checkpoints" / (f"{epoch}.safetensors" if epoch == "best" else f"epoch-{epoch:03d}.safetensors")
        if not path.exists():
            raise TlbookError(f"Run {self.id} keeps no weights of epoch {epoch}, only {self.kept()}; retrain it to.")
        return models.load(path)


def find(run_id: str) -> Run | None:
    """The finished run of that id, or None."""
    path = root() / run_id
    return Run(path) if (path / "complete.json").exists() else None


def every() -> list[Run]:
    """All finished runs, newest first."""
    found = [Run(mark.parent) for mark in root().glob("*/complete.json") if not mark.parent.name.endswith(".partial")]
    return sorted(found, key=lambda run: run.path.stat().st_mtime, reverse=True)


def unmet(run: Run, spec: RunSpec) -> str:
    """What a finished run lacks of what a spec wants measured and kept, in words; empty if nothing."""
    beside = run.spec["beside"]
    epochs = sorted(set(spec.kept) - set(run.kept()))
    measured = sorted(set(spec.measured) - set(beside["measured"]))
    lacks = [f"weights of epochs {epochs}"] * bool(epochs) + [f"measurements at epochs {measured}"] * bool(measured)
    return " and ".join(lacks)


def is_done(spec: RunSpec) -> bool:
    """Whether a run is finished and kept what the spec wants; a finished one that did not is an error that says so."""
    run = find(spec.id)
    if run is None:
        return False
    if lacks := unmet(run, spec):
        raise TlbookError(f"Run {run.id} ({spec.label}) is finished but has no {lacks}; ask for it to be retrained.")
    return True


def ensure(spec: RunSpec, retrain: bool = False, show: bool = False) -> Run:
    """The finished run of a spec, trained now if need be (and anew if ``retrain``).

    Two processes that want the same run train it once: the second waits. Raises TlbookError in one sentence if
    images or starting weights are missing or changed.
    """
    root().mkdir(parents=True, exist_ok=True)
    with FileLock(root() / f"{spec.id}.lock"):
        if retrain or not is_done(spec):
            _train(spec, show)
    return Run(root() / spec.id)


def ensure_all(specs: Iterable[RunSpec], workers: int | None = None, retrain: bool = False, show: bool = True) -> None:
    """Train what is missing of many runs: sources first on all cores, then targets, each worker on one thread.

    ``workers`` processes (default: the cores). A run that fails is named at the end, and the others are kept.
    This is the one place where a cluster would plug in.
    """
    missing = [spec for spec in {s.id: s for s in specs}.values() if retrain or not is_done(spec)]
    for spec in (s for s in missing if s.role == SOURCE):
        ensure(spec, retrain, show)
    targets = sorted((s for s in missing if s.role != SOURCE), key=lambda s: s.passes, reverse=True)
    if not targets:
        return
    failures = {}
    progress = tqdm(total=round(sum(s.passes for s in targets)), unit=" passes", unit_scale=True, mininterval=2,
                    desc=f"{len(targets)} runs", disable=not show)
    with progress:
        for done, (spec, error) in enumerate(_attempts(targets, workers or os.cpu_count() or 1, retrain), 1):
            progress.update(round(spec.passes))
            progress.set_description(f"{done}/{len(targets)} runs")
            if error:
                failures[spec.id] = f"{spec.id} ({spec.label}): {error}"
    if failures:
        raise TlbookError(f"{len(failures)} of {len(targets)} runs failed, the others are kept. {'; '.join(failures.values())}")


def _attempts(specs: Sequence[RunSpec], workers: int, retrain: bool) -> Iterator[tuple[RunSpec, str]]:
    """Each spec as it ends, with what went wrong ('' if nothing)."""
    if workers == 1 or len(specs) == 1:
        with threads(1):
            yield from ((spec, _attempt(spec, retrain)) for spec in specs)
        return
    with ProcessPoolExecutor(min(workers, len(specs)), get_context("spawn"), initializer=torch.set_num_threads,
                             initargs=(1,)) as pool:
        pending = {pool.submit(_attempt, spec, retrain): spec for spec in specs}
        for future in as_completed(pending):
            try:
                yield pending[future], future.result()
            except BrokenProcessPool:
                yield pending[future], "its worker process was killed (out of memory?); it resumes when asked again"


def _attempt(spec: RunSpec, retrain: bool) -> str:
    try:
        ensure(spec, retrain)
    except Exception as error:  # one run's failure must not lose the others
        return str(error) if isinstance(error, TlbookError) else f"{type(error).__name__}: {error}"
    return ""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use that many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# Training one run in its directory


class _Keeper:
    """Writes what a run keeps, after each epoch, into its partial directory."""

    def __init__(self, spec: RunSpec, path: Path, show: bool):
        self.spec, self.path = spec, path
        self.written = time.monotonic()
        self.progress = tqdm(total=spec.epochs, desc=spec.label, unit=" epoch", disable=not show)

    def __call__(self, state: State) -> None:
        folder = self.path / "checkpoints"
        if state.epoch in self.spec.kept:
            models.save(state.model.state_dict(), folder / f"epoch-{state.epoch:03d}.safetensors")
        if self.spec.keep_best and state.best_epoch == state.epoch:
            models.save(state.model.state_dict(), folder / "best.safetensors")
        if time.monotonic() - self.written > RESUME_SECONDS:
            write_resume(state, self.path)
            self.written = time.monotonic()
        self.progress.update(state.epoch - self.progress.n)


def write_resume(state: State, path: Path) -> None:
    """Everything to go on from: rows, weights, momentum, epoch, best so far (randomness follows from the epoch)."""
    _write(path / "history.csv", pd.DataFrame(state.rows).to_csv(index=False))
    tensors = {f"weights.{name}": value for name, value in state.model.state_dict().items()}
    for name, parameter in state.model.named_parameters():
        buffer = state.optimizer.state[parameter].get("momentum_buffer")
        if buffer is not None:
            tensors[f"momentum.{name}"] = buffer
    tensors["progress"] = torch.tensor([state.epoch, state.best_epoch, state.best_value], dtype=torch.float64)
    models.save(tensors, path / "resume.safetensors")


def read_resume(state: State, path: Path) -> None:
    """Bring a fresh state to where `write_resume` left it."""
    tensors = models.load(path / "resume.safetensors")
    epoch, best_epoch, state.best_value = tensors.pop("progress").tolist()
    state.epoch, state.best_epoch = int(epoch), int(best_epoch)
    state.model.load_state_dict({n.removeprefix("weights."): t for n, t in tensors.items() if n.startswith("weights.")})
    for name, parameter in state.model.named_parameters():
        if f"momentum.{name}" in tensors:
            buffer = torch.empty_like(parameter).copy_(tensors[f"momentum.{name}"])
            state.optimizer.state[parameter]["momentum_buffer"] = buffer
    rows = pd.read_csv(path / "history.csv")
    state.rows = rows[rows.epoch <= state.epoch].to_dict("records")


def _train(spec: RunSpec, show: bool) -> None:
    prepare()
    started = time.monotonic()
    domain = data.load(spec.images)
    if domain.digest != spec.digest:
        raise TlbookError(f"The training images of {spec.dataset} are not those that run {spec.id} is named for.")
    partial = root() / f"{spec.id}.partial"
    start = None if spec.init.weights is None else weights(spec.init.weights)
    where = device()
    state = initial(spec, start, where)
    if (partial / "resume.safetensors").exists():
        read_resume(state, partial)
    else:
        shutil.rmtree(partial, ignore_errors=True)
    (partial / "checkpoints").mkdir(parents=True, exist_ok=True)
    _write(partial / "spec.json", json.dumps(_noted(spec), indent=1))
    train(spec, domain, state, _Keeper(spec, partial, show), where)
    _write(partial / "history.csv", pd.DataFrame(state.rows).to_csv(index=False))
    (partial / "resume.safetensors").unlink(missing_ok=True)
    end = {"seconds": round(time.monotonic() - started, 2), "best_epoch": state.best_epoch, **environment(where)}
    _write(partial / "complete.json", json.dumps(end, indent=1))
    _replace(partial, root() / spec.id)


def _noted(spec: RunSpec) -> dict:
    everything = dataclasses.asdict(spec)
    return {
        "id": spec.id,
        "label": spec.label,
        "identity": spec.identity,
        "beside": {name: value for name, value in everything.items() if name not in spec.identity},
    }


def environment(where: str) -> dict:
    """Device, threads and library versions, for a run's end mark and for provenance."""
    name = torch.cuda.get_device_name() if where.startswith("cuda") else platform.processor() or platform.machine()
    return {"device": f"{where} ({name})", "threads": torch.get_num_threads(), "python": platform.python_version(),
            "torch": torch.__version__}


def _replace(partial: Path, final: Path) -> None:
    """Put a whole directory in the place of another; an interruption leaves one of the two whole."""
    old = final.with_name(f"{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    partial.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


# Weights to start from


def weights(which: Weights) -> dict[str, Tensor]:
    """The state dict of a run's checkpoint or of a file."""
    if isinstance(which, Checkpoint):
        run = find(which.run)
        if run is None:
            raise TlbookError(f"Run {which.run}, whose weights are wanted, is not trained yet: train it first.")
        return run.weights(which.epoch)
    return models.load(_file(which))


def _file(which: File) -> Path:
    for card in SHIPPED.glob("*.json"):
        if json.loads(card.read_text())["sha256"] == which.sha256:
            return card.with_suffix(".safetensors")
    path = root() / "files" / f"{which.sha256}.safetensors"
    if not path.exists():
        raise TlbookError(f"There is no weights file with SHA-256 {which.sha256[:12]}… in {path.parent}.")
    return path


def shipped(scale: str) -> File:
    """P as shipped with tlbook for a scale; a scale without one is refused."""
    card = SHIPPED / f"{scale}.json"
    if not card.exists():
        raise TlbookError(f"No pre-trained weights are shipped for scale {scale!r}; set pretrained to 'train', or to a file.")
    return File(json.loads(card.read_text())["sha256"])


def register_file(path: Path) -> File:
    """A user's safetensors file as weights to start from: checked, and copied beside the runs under its digest."""
    models.load(path)
    file = File(models.sha256(path))
    copy = root() / "files" / f"{file.sha256}.safetensors"
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy.with_suffix(".partial"))
        os.replace(copy.with_suffix(".partial"), copy)
    return file
