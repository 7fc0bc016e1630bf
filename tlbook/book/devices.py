"""The same seeds, trained and measured on two devices: how far statements' values lie apart."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pandas as pd

from tlbook import questions
from tlbook.book import records, scorecard
from tlbook.evidence.selection import NotRecorded
from tlbook.evidence.statements import Estimate

SECOND = "second_device"  # the folder of records that another device made


def compared(scale: str = "laptop", root: Path = records.FOLDER) -> pd.DataFrame:
    """Every statement on every target that it speaks of, as both devices have it: value, low, high (95 %),
    the same of the second device, and how far the two values lie ``apart``, in halves of the first interval.

    What only one device has is left out; no rows without records in the folder `SECOND` below ``root``.
    """
    other = Path(root) / SECOND
    if not (other / scale).is_dir():
        return pd.DataFrame()
    both, rows = [records.load_scale(scale, folder) for folder in (Path(root), other)], []
    for claim in questions.claims():
        for asked in claim.statements:
            for role in asked.targets if not asked.against else ():
                with contextlib.suppress(NotRecorded):
                    first, second = (scorecard.estimate(asked, tables, role) for tables in both)
                    row = {"": f"{claim.number}{asked.letter}", "statement": asked.text, "on": role}
                    rows.append(row | {"unit": asked.unit} | _beside(first, second))
    return pd.DataFrame(rows)


def _beside(first: Estimate, second: Estimate) -> dict[str, float]:
    ends = {"": first, " there": second}
    numbers = {
        f"{name}{end}": number
        for end, found in ends.items()
        for name, number in zip(("value", "low", "high"), (found.value, *found.interval()), strict=True)
    }
    half, apart = (numbers["high"] - numbers["low"]) / 2, abs(first.value - second.value)
    return numbers | {"apart": apart / half if half else math.inf if apart else 0.0}


def in_words(rows: pd.DataFrame) -> list[str]:
    """How far the two devices of `compared` agree, in sentences."""
    if rows.empty:
        return ["No other device has trained these seeds."]
    within, disjoint = (
        (rows.apart <= 1).sum(),
        (rows.low > rows["high there"]) | (rows.high < rows["low there"]),
    )
    return [
        f"Of {len(rows)} values, {within} lie within the 95 % interval of the first device; half of them are "
        f"nearer than {rows.apart.median():.2g} halves of it.",
        f"{disjoint.sum()} of {len(rows)} pairs of intervals do not overlap.",
    ]
