"""RunSpec -> run directory. A run is trained once, by whoever asks first, and found again by its id.

A finished run is ``<root>/<id>/`` with ``spec.json``, ``history.csv``, ``checkpoints/*.safetensors`` and
the mark ``complete.json``; while it trains it is ``<id>.partial/`` with ``resume.safetensors`` besides, from
which a killed run goes on. A whole directory is renamed at the end: nothing half-written is ever found. The
mark holds the digest of every other file, and what is read is held to it.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from math import inf
from pathlib import Path

import pandas as pd
import torch
import torch.distributed as dist
from filelock import FileLock
from torch import Tensor
from tqdm import tqdm

from tlbook import code_state, data, models, settings
from tlbook.data.decode import cache_folder, whole
from tlbook.data.stream import Stream
from tlbook.errors import SAID, OutOfTime, TlbookError, sentence
from tlbook.training import weight_files
from tlbook.training.loop import Direct, State, initial, prepare, training
from tlbook.training.replay import Replayed
from tlbook.training.specs import Checkpoint, File, RunSpec, Weights, unique

RESUME_SECONDS = 60.0
HISTORY = ["epoch", "split", "metric", "value"]  # columns of history.csv
END = ("seconds", "best_epoch")  # what complete.json holds in any case,
NOTED = ("label", "identity", "beside")  # and what spec.json does


def root() -> Path:
    """Where runs live: ``TLBOOK_RUNS``, or ``runs`` in the cache folder, outside any tree."""
    return settings.folder("TLBOOK_RUNS") or cache_folder() / "runs"


def device() -> str:
    """Where runs train: ``TLBOOK_DEVICE``, or a GPU if there is one. It does not change a run's id.

    Raises TlbookError where the device that is named is not here.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{number}" for number in range(gpus))]
    here += ["mps"] if torch.backends.mps.is_available() else []
    named = os.environ.get("TLBOOK_DEVICE", "").strip()
    if named and named not in here:
        raise TlbookError(f"TLBOOK_DEVICE is {named!r}, which is not here; choose from {', '.join(here)}.")
    return named or ("cuda" if gpus else "cpu")


def on_gpu() -> bool:
    """Whether runs train on a GPU of CUDA."""
    return device().startswith("cuda")


def engine() -> str:
    """How runs train side by side: ``TLBOOK_ENGINE``, or "graphs" on a GPU and "processes" on a CPU.

    "graphs": in this process, each a step at a time, a step replayed as one CUDA graph (`replay`). "eager":
    the same, every operation called. "processes": each in a process of its own, on a GPU with graphs.
    """
    valid = [*(["graphs"] if on_gpu() else []), "processes", "eager"]
    named = os.environ.get("TLBOOK_ENGINE", "").strip()
    if named and named not in valid:
        raise TlbookError(f"On {device()}, TLBOOK_ENGINE is one of {', '.join(valid)}, not {named!r}.")
    return named or valid[0]


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run."""

    path: Path

    @functools.cached_property
    def damage(self) -> str:
        """What is wrong with its notes and its history, in words; empty where they are as they were written.

        Runs of before there were digests are taken as they are, where they can be read.
        """
        try:
            complete, spec = self.complete, self.spec
            if lacking := [name for name in END if name not in complete]:
                return f"complete.json lacks {', '.join(lacking)}"
            if lacking := [name for name in NOTED if name not in spec]:
                return f"spec.json lacks {', '.join(lacking)}"
            for name in ("spec.json", "history.csv"):
                if complete.get("digests", {}).get(name, here := models.sha256(self.path / name)) != here:
                    return f"{name} is not what was written at its end"
            self.history()
        except (OSError, ValueError, TypeError, AttributeError) as error:  # a TlbookError is a ValueError
            return (
                sentence(error).rstrip(".") if isinstance(error, SAID) else f"a note cannot be read ({error})"
            )
        return ""

    @property
    def id(self) -> str:
        """The run's id, which is its directory's name."""
        return self.path.name

    @property
    def complete(self) -> dict:
        """What was noted at its end: wall seconds, best epoch, digests, device, versions."""
        return json.loads((self.path / "complete.json").read_text())

    @property
    def spec(self) -> dict:
        """Its spec as plain values: ``identity``, what was noted ``beside`` it, what it ``started_from``."""
        return json.loads((self.path / "spec.json").read_text())

    def history(self) -> pd.DataFrame:
        """All measurements: epoch, split (train, dev, test), metric (accuracy, auc, loss), value."""
        return _read_history(self.path)  # `find` has held the file to its digest

    def kept(self) -> list[int]:
        """The epochs whose weights it keeps."""
        files = self.path.glob("checkpoints/epoch-*.safetensors")
        return sorted(int(file.stem.removeprefix("epoch-")) for file in files)

    def checkpoint(self, epoch: int | str) -> Path:
        """The file of the weights at an epoch, or at the "best" or "final" one; one not kept is refused."""
        number = self.spec["identity"]["epochs"] if epoch == "final" else epoch
        name = f"epoch-{number:03d}" if isinstance(number, int) else str(number)
        path = self.path / "checkpoints" / f"{name}.safetensors"
        if not path.exists():
            kept = ", ".join(map(str, self.kept()))
            raise TlbookError(f"Run {self.id} keeps no weights of epoch {epoch}, only of {kept}.")
        return path

    def weights(self, epoch: int | str) -> dict[str, Tensor]:
        """The state dict at an epoch, or at the "best" or "final" one; an epoch not kept is refused."""
        return models.load(self.whole(epoch))

    def whole(self, epoch: int | str) -> Path:
        """`checkpoint`, held to the digest that was noted at the run's end; a damaged file is refused."""
        path = self.checkpoint(epoch)
        noted = self.complete.get("digests", {}).get(path.relative_to(self.path).as_posix())
        if noted and models.sha256(path) != noted:
            raise TlbookError(
                f"{path} is damaged, not what was written at the end of run {self.id}: train it anew "
                "(--retrain, or remove its folder)."
            )
        return path


def find(run_id: str) -> Run | None:
    """The finished run of that id, or None; one whose notes or history are damaged counts as not trained."""
    run = Run(root() / run_id)
    return run if (run.path / "complete.json").exists() and not run.damage else None


def every() -> list[Run]:
    """All finished runs, newest first, without those that are `damaged`."""
    return [run for run in _marked() if not run.damage]


def damaged() -> list[Run]:
    """Runs that were finished, but whose notes or history are damaged (`Run.damage`), newest first."""
    return [run for run in _marked() if run.damage]


def _marked() -> list[Run]:
    marks = root().glob("*/complete.json")
    found = [Run(mark.parent) for mark in marks if "." not in mark.parent.name]  # neither .partial nor .old
    return sorted(found, key=lambda run: run.path.stat().st_mtime, reverse=True)


def _lacks(run: Run, spec: RunSpec) -> bool:
    """Whether a finished run measured or kept less than a spec wants."""
    beside = run.spec["beside"]
    there = {name: beside[name] for name in ("measured", "train_measured")} | {"kept": run.kept()}
    less = any(set(getattr(spec, name)) - set(epochs) for name, epochs in there.items())
    return less or (spec.keep_best and not beside["keep_best"])


def _with_what_it_has(spec: RunSpec, run: Run) -> RunSpec:
    """The spec, measuring and keeping also what a finished run of it does, for those who asked for that."""
    beside = run.spec["beside"]
    epochs = {name: tuple(beside[name]) for name in ("measured", "train_measured", "kept")}
    return spec.joined(dataclasses.replace(spec, keep_best=beside["keep_best"], **epochs))


def _restarted(run: Run, spec: RunSpec) -> bool:
    """Whether the run that a run started from has been trained anew since, to other weights."""
    which, started_from = spec.init.weights, run.spec.get("started_from")
    if started_from is None or not isinstance(which, Checkpoint) or find(which.run) is None:
        return False
    return models.sha256(find(which.run).checkpoint(which.epoch)) != started_from


def is_done(spec: RunSpec) -> bool:
    """Whether a run is finished, and measured and kept all that the spec wants; if it started from other
    weights than are there now, it is refused."""
    run = find(spec.id)
    if run is None or _lacks(run, spec):
        return False
    if _restarted(run, spec):
        why = "started from other weights than are there now"
        raise TlbookError(f"Run {run.id} ({spec.label}) is finished but {why}; ask for it to be retrained.")
    return True


def outdated(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Those that are finished, but started from other weights than are there now: `ensure` refuses them."""
    return [spec for spec in unique(specs) if (run := find(spec.id)) and _restarted(run, spec)]


def ensure(
    spec: RunSpec,
    retrain: bool = False,
    show: bool = False,
    until: float = inf,
    by: type[Direct] | None = None,
) -> Run:
    """The finished run of a spec, trained now if need be (and anew, from its start, if ``retrain``).

    One that measured or kept less than the spec wants is trained anew, to the same weights.
    Two processes that want the same run train it once: the second waits. A finished run is also found where
    nothing can be written. Raises TlbookError in one sentence if images or starting weights are missing or
    changed, or if the device is not here; `OutOfTime` before ``until`` (as `time.time` counts), where the run
    would not end earlier. Updates come from ``by``; unless given, as `engine` says.
    """
    with place(spec, own_stream()):
        for _ in ensuring(spec, retrain, show, until, by):
            pass
    return Run(root() / spec.id)


def ensuring(
    spec: RunSpec,
    retrain: bool = False,
    show: bool = False,
    until: float = inf,
    by: type[Direct] | None = None,
) -> Iterator[None]:
    """`ensure`, with pauses in which other runs can go on; between them it is always in the same `place`."""
    device()
    try:
        root().mkdir(parents=True, exist_ok=True)
        lock = FileLock(root() / f"{spec.id}.lock").acquire()
    except OSError:
        if retrain or not is_done(spec):
            raise
        return
    with lock:
        _recover(root() / spec.id)
        if retrain or not is_done(spec):
            yield from _train(spec, retrain, show, until, by)


def own_stream() -> torch.cuda.Stream | None:
    """A stream for a run on a GPU, beside those of others."""
    return torch.cuda.Stream(device()) if on_gpu() else None


@contextmanager
def place(spec: RunSpec, stream: torch.cuda.Stream | None) -> Iterator[None]:
    """Where a run trains: its own number of threads, wherever it runs (the order of sums, and so the bits,
    are the same), and on a GPU its own stream."""
    with threads(spec.threads), torch.cuda.stream(stream) if stream else nullcontext():
        yield


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

    def __init__(self, spec: RunSpec, path: Path, done: int, seconds: float, show: bool, until: float):
        """``done`` epochs and ``seconds`` are those of a life that was cut off."""
        self.spec, self.path, self.until = spec, path, until
        self.written = time.monotonic()
        self.started = self.written - seconds
        self.ended = time.time()  # of the last epoch
        bar = dict(total=spec.epochs, initial=done, unit=" epoch", disable=not show)
        self.progress = tqdm(desc=spec.label, **bar)

    def __call__(self, state: State) -> None:
        folder = self.path / "checkpoints"
        if state.epoch in self.spec.kept:
            models.save(state.model.state_dict(), folder / f"epoch-{state.epoch:03d}.safetensors")
        if self.spec.keep_best and state.best_epoch == state.epoch:
            models.save(state.model.state_dict(), folder / "best.safetensors")
        began, self.ended = self.ended, time.time()
        late = state.epoch < self.spec.epochs and 2 * self.ended - began > self.until
        if late or time.monotonic() - self.written > RESUME_SECONDS:
            write_resume(state, self.path, self.seconds)
            self.written = time.monotonic()
        self.progress.update(state.epoch - self.progress.n)
        if late:  # so would be the next epoch's end
            raise OutOfTime("The time was up; asked for again, the run goes on from where it is.")

    @property
    def seconds(self) -> float:
        """How long the run has trained, all its lives together."""
        return time.monotonic() - self.started

    def close(self) -> None:
        """End the progress line."""
        self.progress.close()


def unfinished(spec: RunSpec) -> Path:
    """Where a run is while it trains."""
    return root() / f"{spec.id}.partial"


def write_resume(state: State, path: Path, seconds: float = 0.0) -> None:
    """Everything to go on from: rows, weights, momentum, epoch, best so far (the epoch seeds the rest)."""
    _write_history(state, path)
    tensors = {f"weights.{name}": value for name, value in state.model.state_dict().items()}
    for name, parameter in state.model.named_parameters():
        buffer = state.optimizer.state[parameter].get("momentum_buffer")
        if buffer is not None:
            tensors[f"momentum.{name}"] = buffer
    best = path / "checkpoints" / "best.safetensors"
    if best.exists():
        tensors |= {f"best.{name}": value for name, value in models.load(best).items()}
    progress = [state.epoch, state.best_epoch, state.best_value, seconds, len(state.rows)]
    tensors["progress"] = torch.tensor(progress, dtype=torch.float64)
    models.save(tensors, path / "resume.safetensors")


def read_resume(state: State, path: Path) -> float:
    """Bring a fresh state and the best weights in ``path`` to where `write_resume` left them; its seconds."""
    tensors = models.load(path / "resume.safetensors")
    epoch, best_epoch, state.best_value, seconds, count = tensors.pop("progress").tolist()
    state.epoch, state.best_epoch = int(epoch), int(best_epoch)
    state.model.load_state_dict(_under("weights.", tensors))
    for name, parameter in state.model.named_parameters():
        if f"momentum.{name}" in tensors:
            buffer = torch.empty_like(parameter).copy_(tensors[f"momentum.{name}"])
            state.optimizer.state[parameter]["momentum_buffer"] = buffer
    rows = _read_history(path)
    state.rows = rows[rows.epoch <= state.epoch].to_dict("records")
    if len(state.rows) != count:
        raise TlbookError(f"The file {path / 'history.csv'} lacks rows that were measured.")
    if best := _under("best.", tensors):
        models.save(best, path / "checkpoints" / "best.safetensors")
    return seconds


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _write_history(state: State, path: Path) -> None:
    rows = pd.DataFrame(state.rows, columns=HISTORY)
    _write(path / "history.csv", rows.to_csv(index=False))


def _read_history(path: Path) -> pd.DataFrame:
    file = path / "history.csv"
    text = file.read_text()
    lines = text.splitlines()
    if lines[:1] != [",".join(HISTORY)] or not text.endswith("\n") or any(r.count(",") != 3 for r in lines):
        raise TlbookError(f"The file {file} is cut short or damaged.")
    rows = pd.read_csv(io.StringIO(text), dtype={"value": str}, keep_default_na=False)
    rows["value"] = [float(text or "nan") for text in rows["value"]]  # pandas' own is a bit off now and then
    return rows


def images(spec: RunSpec) -> data.Domain:
    """The images of a run; refused where they are not those that it is named for."""
    domain = data.load(spec.images)
    wanted = {"training": (domain.digest, spec.digest), "dev and test": (domain.evaluated, spec.evaluated)}
    if others := [name for name, (here, there) in wanted.items() if here != there]:
        named_for = f"those that run {spec.id} ({spec.label}) is named for"
        raise TlbookError(f"The {' and '.join(others)} images of {spec.dataset} are not {named_for}.")
    return domain


def _train(
    spec: RunSpec, anew: bool, show: bool, until: float, by: type[Direct] | None = None
) -> Iterator[None]:
    """Train a run, from where it was cut off unless ``anew``, and put it in its place whole."""
    if earlier := find(spec.id):
        spec = _with_what_it_has(spec, earlier)
    domain = images(spec)
    code = code_state.training_digest()  # before training, in which it may be edited
    final, partial = root() / spec.id, unfinished(spec)
    if anew:
        shutil.rmtree(partial, ignore_errors=True)
    prepare()
    start = None if spec.init.weights is None else weights_path(spec.init.weights)
    state, seconds = _begin(spec, partial, start)
    graphs = on_gpu() and engine() != "eager" and not isinstance(domain.train.images, Stream)
    made = (by or (Replayed if graphs else Direct))(spec, domain, state, device())
    with closing(_Keeper(spec, partial, state.epoch, seconds, show, until)) as keeper:
        yield from training(spec, domain, state, keeper, made)
    _write_history(state, partial)
    end = {"seconds": round(keeper.seconds, 2), "best_epoch": state.best_epoch, "code": code}
    end |= environment(device()) | {"digests": _digests(partial)}
    _write(partial / "complete.json", json.dumps(end, indent=1))
    _replace(partial, final)


def _begin(spec: RunSpec, partial: Path, start: Path | None) -> tuple[State, float]:
    """The state to train from and the seconds behind it: what was cut off if it can be read, else epoch 0."""
    weights = None if start is None else models.load(start)
    state, seconds = initial(spec, weights, device()), 0.0
    noted = _noted(spec) | {"started_from": None if start is None else models.sha256(start)}
    text = json.dumps(noted, indent=1)
    try:
        if (partial / "spec.json").read_text() != text:
            raise ValueError("what is measured or kept, or P, has changed since")
        seconds = read_resume(state, partial)
    except (OSError, ValueError, KeyError, RuntimeError):  # there is none, or it cannot be gone on from
        state = initial(spec, weights, device())
        shutil.rmtree(partial, ignore_errors=True)
    (partial / "checkpoints").mkdir(parents=True, exist_ok=True)
    _write(partial / "spec.json", text)
    return state, seconds


def _noted(spec: RunSpec) -> dict:
    everything = dataclasses.asdict(spec)
    return {
        "id": spec.id,
        "label": spec.label,
        "identity": spec.identity,
        "beside": {f.name: everything[f.name] for f in dataclasses.fields(spec) if not f.compare},
    }


def environment(where: str) -> dict:
    """Device, threads and library versions, for a run's end mark and for provenance."""
    processor = platform.processor() or platform.machine()
    name = torch.cuda.get_device_name() if where.startswith("cuda") else processor
    several = f"{dist.get_world_size()} processes, " if dist.is_initialized() else ""
    return {
        "device": f"{several}{where} ({name})",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _replace(partial: Path, final: Path) -> None:
    """Put a finished directory in its place; killed at any point, `_recover` ends it."""
    old = _aside(final)
    _clean(partial)
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    partial.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def _recover(final: Path) -> None:
    """End a `_replace` that was cut off: a partial directory with the completion mark is the finished run."""
    partial = final.with_name(f"{final.name}.partial")
    if (partial / "complete.json").exists() and not Run(partial).damage:
        _replace(partial, final)
    elif final.exists():
        shutil.rmtree(_aside(final), ignore_errors=True)
        if not Run(final).damage:
            shutil.rmtree(partial, ignore_errors=True)  # of training anew, cut off and not asked for again
            _clean(final)


def _clean(folder: Path) -> None:
    """Remove what a finished run has no use for: what to go on from, and files that a kill cut off."""
    for file in (folder / "resume.safetensors", *folder.rglob(".*")):
        if file.is_file():
            file.unlink()


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the files that a run keeps, by their place in its folder."""
    files = (folder / "spec.json", folder / "history.csv", *sorted(folder.glob("checkpoints/*.safetensors")))
    return {file.relative_to(folder).as_posix(): models.sha256(file) for file in files}


def _aside(final: Path) -> Path:
    return final.with_name(f"{final.name}.old")


def _write(path: Path, text: str) -> None:
    with whole(path) as partial:
        partial.write_text(text)


# Weights to start from


def weights(which: Weights) -> dict[str, Tensor]:
    """The state dict of a run's checkpoint or of a file."""
    return models.load(weights_path(which))


def network(name: str, state: dict[str, Tensor]) -> models.Network:
    """A network with these weights, on the device, in evaluation mode; a diverged run's are loaded too."""
    with torch.random.fork_rng(devices=[]):
        model = models.build(name, models.classes(name, state))
    model.load_state_dict(state)
    return model.to(device(), memory_format=torch.channels_last).eval()


def weights_path(which: Weights) -> Path:
    """The safetensors file of weights; refused where it is not here, or not what its digest says."""
    if isinstance(which, File):
        return weight_files.locate(which, own_files())
    run = find(which.run)
    if run is None:
        raise TlbookError(f"Run {which.run}, whose weights are wanted, is not trained yet: train it.")
    return run.whole(which.epoch)


def own_files() -> Path:
    """Where users' own weights are kept, beside the runs that start from them."""
    return root() / "files"
