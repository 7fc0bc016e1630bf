"""Many runs: what is missing of them is trained here, by processes side by side.

A cluster would plug in at `ensure_all`: whatever calls `runs.ensure` for each run, anywhere,
on one `runs.root`, does the same.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from multiprocessing import get_context, parent_process
from threading import Thread

import torch
from joblib import cpu_count
from tqdm import tqdm

from tlbook import data
from tlbook.errors import SAID, TlbookError, sentence
from tlbook.scales import SOURCE
from tlbook.training.runs import device, ensure, is_done
from tlbook.training.specs import Checkpoint, RunSpec, unique

# glibc gives freed memory back to the system and asks for it again at every step, which is half of a small
# step's time; workers keep it. Read where a process starts; other systems do not know them.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_TOP_PAD_": str(2**26)}
NAMED = 3  # runs that a sentence about failures names with each reason


def default_workers() -> int:
    """How many runs train side by side unless told: one on a GPU, else one a core that is ours to use."""
    return cpu_count() if device() == "cpu" else 1


def ensure_all(
    specs: Iterable[RunSpec], workers: int | None = None, retrain: bool = False, show: bool = True
) -> None:
    """Train what is missing of many runs: sources first on all cores, then the others, one thread each.

    ``workers`` processes (default: `default_workers`); a run waits for the run that it starts from. A run
    that fails is named at the end, and the others are kept. Interrupted, no other run is begun. Raises
    TlbookError before anything is trained where an image cannot be read or the device is not here.
    """
    device()  # refuses
    missing = [spec for spec in unique(specs) if retrain or not is_done(spec)]
    for wanted in dict.fromkeys(spec.images for spec in missing):
        with suppress(data.MissingData):  # its own run says so
            data.load(wanted)  # a damaged image is refused before hours of training
    sources = [spec for spec in missing if spec.role == SOURCE]
    failed = {spec: error for spec in sources if (error := _attempt(spec, retrain, show))}
    targets = sorted((s for s in missing if s.role != SOURCE), key=lambda s: s.passes, reverse=True)
    if targets:
        _ensure_targets(targets, failed, workers or default_workers(), retrain, show)
    if failed:
        raise TlbookError(_failure(failed, len(missing)))


def _ensure_targets(
    targets: Sequence[RunSpec], failed: dict[RunSpec, str], workers: int, retrain: bool, show: bool
) -> None:
    """Train targets under one progress line, each after what it starts from; failures go into ``failed``."""
    total = round(sum(spec.passes for spec in targets))
    progress = tqdm(total=total, unit=" passes", unit_scale=True, mininterval=1, disable=not show)
    done, waiting = 0, list(targets)
    with progress:
        progress.set_description(f"0/{len(targets)} runs")
        while waiting:
            ids = {spec.id for spec in waiting}
            ready = [spec for spec in waiting if _parent(spec) not in ids]
            waiting = [spec for spec in waiting if _parent(spec) in ids]
            lost = {spec.id for spec in failed}
            for spec in ready:
                if _parent(spec) in lost:
                    failed[spec] = f"run {_parent(spec)}, which it starts from, failed"
            with closing(_attempts([s for s in ready if s not in failed], workers, retrain)) as ended:
                for spec, error in ended:
                    done += 1
                    progress.update(round(spec.passes))
                    progress.set_description(f"{done}/{len(targets)} runs")
                    if error:
                        failed[spec] = error


def _parent(spec: RunSpec) -> str | None:
    """The id of the run that a run starts from, if it does."""
    return spec.init.weights.run if isinstance(spec.init.weights, Checkpoint) else None


def _failure(failed: dict[RunSpec, str], count: int) -> str:
    """One sentence that names the runs that failed (a few of many), and each reason once."""
    by_reason: dict[str, list[str]] = {}
    for spec, error in failed.items():
        by_reason.setdefault(error.rstrip("."), []).append(f"{spec.id} ({spec.label})")
    reasons = "; ".join(f"{_listed(names)}: {reason}" for reason, names in by_reason.items())
    return f"{len(failed)} of {count} runs failed, and what else was trained is kept: {reasons}."


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _attempts(specs: Sequence[RunSpec], workers: int, retrain: bool) -> Iterator[tuple[RunSpec, str]]:
    """Each spec as it ends, with what went wrong ('' if nothing)."""
    if workers == 1 or len(specs) <= 1:
        yield from ((spec, _attempt(spec, retrain)) for spec in specs)
        return
    left = []
    with worker_pool(min(workers, len(specs))) as pool:
        pending = {pool.submit(_attempt, spec, retrain): spec for spec in specs}
        for future in as_completed(pending):
            try:
                yield pending[future], future.result()
            except BrokenProcessPool:  # one of them was killed, which ends the others too
                left.append(pending[future])
    for spec in left:
        with worker_pool(1) as pool:
            try:
                error = pool.submit(_attempt, spec, retrain).result()
            except BrokenProcessPool:
                error = "its worker process was killed (out of memory?)"
        yield spec, error


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Processes of one thread each, which end with the process that asked for them."""
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)
    return _Pool(workers, get_context("spawn"), initializer=_begin_worker)


class _Pool(ProcessPoolExecutor):
    def submit(self, *call: object, **how: object) -> Future:
        """As usual, with workers that do not hear Ctrl-C from their first moment on."""
        with _deaf():
            return super().submit(*call, **how)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Wait for what was asked for; but interrupted, end it: a run goes on later from where it is."""
        if kind is not None:
            for process in list((self._processes or {}).values()):
                process.kill()
        self.shutdown(cancel_futures=kind is not None)


@contextmanager
def _deaf() -> Iterator[None]:
    """Hold Ctrl-C back for a moment; processes that are started meanwhile never hear it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    """One thread; and an end with the process that it works for, however that one ended.

    Ctrl-C, which a terminal sends to all, is that one's to hear.
    """

    def watch() -> None:
        parent_process().join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    Thread(target=watch, daemon=True).start()


def _attempt(spec: RunSpec, retrain: bool, show: bool = False) -> str:
    """Ensure one run; what went wrong, or ''."""
    try:
        ensure(spec, retrain, show)
    except Exception as error:  # one run's failure must not lose the others
        return sentence(error) if isinstance(error, SAID) else f"{type(error).__name__}: {error}"
    return ""
