"""Contenders take turns (a b, a b, …), so that whatever else the machine does meets all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

RATIOS = "median over rounds of the ratio within a round (least to greatest)"  # what `faster` says


def in_turns(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each contender in each round. ``clock`` may be `time.process_time`: other programs change
    the seconds of the processor less than those of the wall."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            began = clock()
            run()
            seconds[name].append(clock() - began)
    return seconds


def faster(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """How many times as fast ours is, in words."""
    ratios = [slow / fast for fast, slow in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})"
