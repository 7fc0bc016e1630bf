"""Runs on the workers of a Dask cluster: other machines, one process a GPU, the same run folders.

What is sent is a spec and where runs and images lie; what a run leaves is in its folder, on a file system
that all share. The run of a worker that is lost goes on elsewhere, from its last resume point.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, as_completed
from contextlib import contextmanager

from tlbook import code_state, data
from tlbook.errors import TlbookError
from tlbook.training import runs
from tlbook.training.specs import RunSpec

PATIENCE = 30  # seconds that a scheduler has to answer


def attempts(
    attempt: Callable[..., str], specs: Sequence[RunSpec], address: str, *how: object
) -> Iterator[tuple[RunSpec, str]]:
    """Each spec as it ends, with what went wrong ('' if nothing): ``attempt(spec, *how)`` on some worker.

    Raises TlbookError in one sentence where no scheduler answers at ``address``, or its workers would train
    several runs in one process.
    """
    root, images = runs.root().absolute(), data.layouts.data_root()
    places = {"TLBOOK_RUNS": str(root)} | ({"TLBOOK_DATA": str(images.absolute())} if images else {})
    code = code_state.training_digest()
    with _workers(address) as submit:
        pending = {submit(_there, places, code, attempt, spec, *how): spec for spec in specs}
        for future in as_completed(pending):
            try:
                yield pending[future], future.result()
            except (
                Exception,
                CancelledError,
            ) as error:  # the worker was lost again and again, or the scheduler
                yield pending[future], f"the cluster gave it up ({type(error).__name__}: {error})"


def _there(places: dict[str, str], code: str, attempt: Callable[..., str], *what: object) -> str:
    """On a worker: `attempt` with the folders of whoever asked, whose code is to be the same."""
    if code_state.training_digest() != code:
        return f"the code of tlbook on worker {platform.node()} trains otherwise than the code here"
    os.environ.update(places)
    return attempt(*what)


@contextmanager
def _workers(address: str) -> Iterator[Callable[..., Future]]:
    """What hands a call to the workers of a scheduler; left by an error, it calls back what has not begun."""
    try:
        from distributed import Client
    except ImportError:
        raise TlbookError("A cluster needs the package distributed: pip install 'tlbook[cluster]'.") from None
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        cause = " ".join(str(error).split()).rstrip(".").replace(". ", "; ")
        raise TlbookError(f"No Dask scheduler answers at {address} ({cause}).") from None
    with client:
        if any(count > 1 for count in client.nthreads().values()):
            raise TlbookError(f"A worker of {address} has several threads; start each with --nthreads 1.")
        executor = client.get_executor(pure=False)
        try:
            yield executor.submit
        finally:
            executor.shutdown(wait=False)
