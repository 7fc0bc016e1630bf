"""What benchmarks share: contenders that take turns (a b, a b, …), and pictures in files."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from tlbook.data import embedded

RATIOS = "median over rounds of the ratio within a round (least to greatest)"  # what `faster` says


def in_turns(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each contender in each round; whatever else the machine does meets all of them.

    ``clock`` may be `time.process_time`: other programs change the processor's seconds less than the wall's.
    """
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


def drawn(folder: Path, count: int, side: int) -> Path:
    """A folder of class folders with so many generated pictures as JPEG files."""
    images, labels = embedded.generate("real", "train", count, side)
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        path = folder / f"class{label:02d}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, quality=90)
    return folder
