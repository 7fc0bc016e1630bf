"""Question 1: what is the role of feature reuse? (paper, section 3.1, Figures 2 and 3)"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tlbook import data
from tlbook.questions import grid
from tlbook.questions.feature_reuse import QUESTION
from tlbook.questions.feature_reuse.method import convergence
from tlbook.scales import Scale
from tlbook.training.executors import ensure_all
from tlbook.training.runs import ensure, find
from tlbook.training.specs import RunSpec


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """All runs of the question: P if we train it, then Figure 2's and Figure 3's."""
    return grid.of_figures_2_and_3(scale, targets, seeds)


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The question's tables (see `tlbook.tables`); trains what is missing. ``how`` goes to `ensure_all`."""
    ensure_all(runs(scale, targets, seeds), **how)
    curves = grid.long(
        (keys, ensure(spec).history()) for keys, spec in grid.unshuffled(scale, targets, seeds)
    )
    shuffled = grid.long(
        (keys, grid.final_rows(spec)) for keys, spec in grid.shuffled_runs(scale, targets, seeds)
    )
    images = {role: len(data.load(data.request(scale, role)).train) for role in targets}
    return {
        "learning_curves": curves,
        "block_shuffle": shuffled.drop(columns="epoch"),
        "convergence": convergence(curves, scale.metric, images),
        "domains": grid.domains(scale, targets),
    }


def finished_curves(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """learning_curves of the runs that are there; trains nothing, and is empty if there are none."""
    parts = [(keys, find(spec.id)) for keys, spec in grid.unshuffled(scale, targets, seeds)]
    there = [(keys, run.history()) for keys, run in parts if run is not None]
    return grid.long(there) if there else QUESTION.table("learning_curves").empty()
