"""Many runs: what is missing is trained side by side: in processes, in turn on a GPU, or on a cluster."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from functools import partial
from math import inf
from multiprocessing import get_context, parent_process
from threading import Thread

import torch
from joblib import cpu_count
from tqdm import tqdm

from tlbook import data
from tlbook.errors import SAID, OutOfTime, TlbookError, sentence
from tlbook.scales import SOURCE
from tlbook.training import cluster as on_cluster
from tlbook.training import runs
from tlbook.training.runs import device, is_done
from tlbook.training.specs import RunSpec, unique

# glibc gives freed memory back to the system and asks for it again at every step, which is half of a small
# step's time; workers keep it. Read where a process starts; other systems do not know them.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_TOP_PAD_": str(2**26)}
SLOTS = 16  # runs side by side on a GPU
LATE = "the time was up"
NAMED = 3  # runs that a sentence about failures names with each reason

Attempts = Callable[[Sequence[RunSpec]], Iterator[tuple[RunSpec, str]]]


def default_workers() -> int:
    """How many runs train side by side unless told: one a core that is ours to use, or `SLOTS` on a GPU."""
    return SLOTS if runs.on_gpu() else cpu_count()


def ensure_all(
    specs: Iterable[RunSpec],
    workers: int | None = None,
    retrain: bool = False,
    show: bool = True,
    until: float = inf,
    cluster: str = "",
) -> None:
    """Train what is missing of many runs: sources first on all cores, then the others, one thread each.

    ``workers`` side by side (default: `default_workers`), or as many as the Dask scheduler at the address
    ``cluster`` has; a run waits for the run that it starts from. A run that fails is named at the end, and
    the others are kept. Interrupted, no other run is begun. Raises TlbookError before anything is trained
    where an image cannot be read or the device is not here, and `OutOfTime` where runs are left when
    ``until`` (as `time.time` counts) has come.
    """
    device()  # refuses
    missing = [spec for spec in unique(specs) if retrain or not is_done(spec)]
    for wanted in dict.fromkeys(spec.images for spec in missing):
        with suppress(data.MissingData):  # its own run says so
            data.load(wanted)  # a damaged image is refused before hours of training
    sources = [] if cluster else [spec for spec in missing if spec.role == SOURCE]
    failed = {spec: error for spec in sources if (error := _attempt(spec, retrain, until, show))}
    targets = sorted((s for s in missing if s not in sources), key=lambda s: s.passes, reverse=True)
    if targets:
        attempts = _attempts if runs.engine() == "processes" else _in_turn
        how = (workers or default_workers(), retrain, until)
        if cluster:
            attempts, how = partial(on_cluster.attempts, _attempt), (cluster, retrain, until)
        _ensure_targets(targets, failed, lambda specs: attempts(specs, *how), show)
    if {*failed.values()} == {LATE}:
        left = f"{len(failed)} of {len(missing)} runs are left to train"
        raise OutOfTime(f"When {LATE}, {left}; asked for again, they go on from where they are.")
    if failed:
        raise TlbookError(_failure(failed, len(missing)))


def _ensure_targets(
    targets: Sequence[RunSpec], failed: dict[RunSpec, str], attempts: Attempts, show: bool
) -> None:
    """Train targets under one progress line, each after what it starts from; failures go into ``failed``."""
    total = round(sum(spec.passes for spec in targets))
    progress = tqdm(total=total, unit=" passes", unit_scale=True, mininterval=1, disable=not show)
    done, waiting = 0, list(targets)
    with progress:
        progress.set_description(f"0/{len(targets)} runs")
        while waiting:
            ids = {spec.id for spec in waiting}
            ready = [spec for spec in waiting if spec.parent not in ids]
            waiting = [spec for spec in waiting if spec.parent in ids]
            lost = {spec.id: error for spec, error in failed.items()}
            for spec in ready:
                if parent := lost.get(spec.parent):
                    left = f"run {spec.parent}, which it starts from, failed"
                    failed[spec] = LATE if parent == LATE else left
            with closing(attempts([s for s in ready if s not in failed])) as ended:
                for spec, error in ended:
                    done += 1
                    progress.update(round(spec.passes))
                    progress.set_description(f"{done}/{len(targets)} runs")
                    if error:
                        failed[spec] = error


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


def _in_turn(
    specs: Sequence[RunSpec], slots: int, retrain: bool, until: float
) -> Iterator[tuple[RunSpec, str]]:
    """Each spec as it ends, with what went wrong, as `_attempts`: runs in this one process, a step of each in
    turn; as one ends the next takes its slot."""
    waiting, training = iter(specs), deque()
    try:
        while True:
            while len(training) < slots and (spec := next(waiting, None)):
                training.append((spec, _attempting(spec, retrain, until), runs.own_stream()))
            if not training:
                return
            spec, run, stream = training[0]
            with runs.place(spec, stream):
                error = next(run)
            if error is None:
                training.rotate(-1)
            else:
                training.popleft()
                yield spec, error
    finally:
        for _, run, _ in training:
            run.close()


def _attempts(
    specs: Sequence[RunSpec], workers: int, retrain: bool, until: float
) -> Iterator[tuple[RunSpec, str]]:
    """Each spec as it ends, with what went wrong ('' if nothing)."""
    if workers == 1 or len(specs) <= 1:
        yield from ((spec, _attempt(spec, retrain, until)) for spec in specs)
        return
    left = []
    with worker_pool(min(workers, len(specs))) as pool:
        pending = {pool.submit(_attempt, spec, retrain, until): spec for spec in specs}
        for future in as_completed(pending):
            try:
                yield pending[future], future.result()
            except BrokenProcessPool:  # one of them was killed, which ends the others too
                left.append(pending[future])
    for spec in left:
        with worker_pool(1) as pool:
            try:
                error = pool.submit(_attempt, spec, retrain, until).result()
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


def _attempt(spec: RunSpec, retrain: bool, until: float, show: bool = False) -> str:
    """Ensure one run; what went wrong, or ''."""
    with runs.place(spec, runs.own_stream()):
        return deque(_attempting(spec, retrain, until, show), maxlen=1).pop()


def _attempting(spec: RunSpec, retrain: bool, until: float, show: bool = False) -> Iterator[str | None]:
    """`_attempt`: None at each pause of the run, at last what went wrong, or ''."""
    try:
        if time.time() >= until:
            raise OutOfTime(LATE)
        for _ in runs.ensuring(spec, retrain, show, until):
            yield None
    except OutOfTime:
        yield LATE
    except Exception as error:  # one run's failure must not lose the others
        yield sentence(error) if isinstance(error, SAID) else f"{type(error).__name__}: {error}"
    else:
        yield ""
