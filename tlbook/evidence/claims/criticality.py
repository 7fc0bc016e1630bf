"""Claims 22 to 25: which modules are critical? Statistics over rewind and paths, on xray, final models.

A module's loss is what the test metric loses when that module alone goes back to epoch 0. `fc` at epoch 0 is
a fresh head: it is kept apart, and no trend over depth uses it. P-T at the low rate; RI-T at the high rate,
and at the low one where a part says so. All values are per run, paired by seed; intervals by Student's t.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from tlbook.evidence import paper
from tlbook.evidence.claims.rules import (
    Claim,
    Evidence,
    NotRecorded,
    Part,
    Sample,
    Unmeasured,
    paired,
    sample,
)
from tlbook.evidence.claims.select import SIGN, difference, spearman
from tlbook.vocabulary import depth, modules

ROLE = "xray"
RATE = {"P-T": "low", "RI-T": "high"}
REWIND = ("rewind",)
REWIND_BOTH = ("rewind", "learning_curves")
PATHS_BOTH = ("paths", "learning_curves")
TOLERATED = 0.05  # how much training AUC noise may cost before it is no longer tolerated


def losses(evidence: Evidence, init: str, rate: str | None = None) -> pd.DataFrame:
    """Test AUC lost by rewinding each module to epoch 0; rows: seeds, columns: modules in order of depth."""
    rows = evidence.rows(
        "rewind",
        role=ROLE,
        init=init,
        rate=rate or RATE[init],
        method="rewind",
        to_epoch=0,
        split="test",
        metric="auc",
    )
    table = rows.pivot(index="seed", columns="module", values="value")
    if "none" not in table:
        raise NotRecorded(f"rewind has no row 'none' (the model itself) for {init}")
    lost = -table.sub(table["none"], axis=0)
    return _complete(lost[modules(lost.columns)], init)


def _complete(table: pd.DataFrame, init: str) -> pd.DataFrame:
    if "conv1" not in table or "fc" not in table or table.isna().any().any():
        raise NotRecorded(f"rewind lacks a module for a run of {init}")
    return table


def _paper_losses(init: str, rate: str) -> pd.Series:
    rows = paper.figure5().query("init == @init and rate == @rate").set_index("module")["value"]
    return (rows["none"] - rows).drop("none")


def body(table: pd.DataFrame) -> pd.DataFrame:
    """All modules but fc."""
    return table.drop(columns="fc")


def _paper_body(init: str, rate: str) -> pd.Series:
    return _paper_losses(init, rate).drop("fc")


def _first_blocks(table: pd.DataFrame) -> pd.Series:
    return table[[name for name in table if name.endswith(".0")]].mean(axis=1)


def _paper_first_blocks(init: str, rate: str) -> float:
    row = _paper_losses(init, rate)
    return float(row[[name for name in row.index if name.endswith(".0")]].mean())


def _part(
    name: str,
    reads: tuple[str, ...],
    statistic: Callable[[Evidence], Sample],
    direction: str,
    paper_value: float | None,
    against: float = 0.0,
    why: str = SIGN,
    unit: str = "AUC",
    margin: float = 0.0,
) -> Part:
    return Part(ROLE, name, unit, reads, statistic, direction, margin, why, against, paper_value)


def _most_but_conv1(evidence: Evidence) -> Sample:
    lost = body(losses(evidence, "RI-T", "low"))
    return sample(lost["conv1"] - lost.drop(columns="conv1").max(axis=1))


def _claim22() -> Claim:
    cheap = "0.03: the paper's largest is 0.024, read to 0.003 at both ends"
    dear = "0.05: twice what P-T loses at most in the paper"
    half = "0.02: the paper's 0.012, read to 0.003 at both ends, rounded up"
    p_t, low, high = _paper_body("P-T", "low"), _paper_body("RI-T", "low"), _paper_body("RI-T", "high")
    parts = (
        _part(
            "P-T (low), largest loss of a module, fc apart",
            REWIND,
            lambda evidence: sample(body(losses(evidence, "P-T")).max(axis=1)),
            "<",
            p_t.max(),
            0.03,
            cheap,
        ),
        _part(
            "RI-T (low), loss at conv1 minus the largest elsewhere, fc apart",
            REWIND_BOTH,
            _most_but_conv1,
            ">",
            low["conv1"] - low.drop("conv1").max(),
        ),
        _part(
            "RI-T (high), loss at conv1",
            REWIND_BOTH,
            lambda evidence: sample(losses(evidence, "RI-T")["conv1"]),
            ">",
            high["conv1"],
            0.05,
            dear,
        ),
        _part(
            "loss at the first blocks of the stages, mean: RI-T (high) minus P-T (low)",
            REWIND_BOTH,
            lambda evidence: difference(
                evidence, *(_first_blocks(losses(evidence, i)) for i in ("RI-T", "P-T"))
            ),
            ">",
            _paper_first_blocks("RI-T", "high") - _paper_first_blocks("P-T", "low"),
        ),
        _part(
            "RI-T (high), median loss of a module, fc apart",
            REWIND_BOTH,
            lambda evidence: sample(body(losses(evidence, "RI-T")).median(axis=1)),
            "<",
            high.median(),
            0.02,
            half,
        ),
    )
    return Claim(
        22,
        "3.4",
        "Figure 5",
        "Rewinding a single module costs P-T little except at fc; RI-T loses much at "
        "conv1 and at first blocks of stages, though half of its modules lose little.",
        parts,
    )


def _stage(table: pd.DataFrame, *stages: int) -> pd.DataFrame:
    return table[[name for name in table if name.startswith("layer") and depth(name)[0] in stages]]


def _top_minus_bottom(evidence: Evidence) -> Sample:
    lost = losses(evidence, "P-T")
    return sample(_stage(lost, 4).mean(axis=1) - _stage(lost, 1, 2).mean(axis=1))


def _conv1_above(evidence: Evidence) -> Sample:
    lost = losses(evidence, "P-T")
    return sample(lost["conv1"] - _stage(lost, 1, 2).max(axis=1))


def _depth_trend(evidence: Evidence) -> Sample:
    lost = body(losses(evidence, "P-T"))
    order = pd.Series(range(lost.shape[1]))
    return sample(
        pd.Series({seed: spearman(order, row.reset_index(drop=True)) for seed, row in lost.iterrows()})
    )


def _fc_above(evidence: Evidence) -> Sample:
    lost = losses(evidence, "P-T")
    return sample(lost["fc"] - body(lost).max(axis=1))


def _claim23() -> Claim:
    row = _paper_losses("P-T", "low")
    table = row.to_frame().T
    rest = row.drop("fc")
    parts = (
        _part(
            "P-T (low), mean loss in layer4 minus in layer1 and layer2",
            REWIND,
            _top_minus_bottom,
            ">",
            float(_stage(table, 4).mean(axis=1).iloc[0] - _stage(table, 1, 2).mean(axis=1).iloc[0]),
        ),
        _part(
            "P-T (low), loss at fc minus the largest elsewhere",
            REWIND,
            _fc_above,
            ">",
            row["fc"] - rest.max(),
        ),
        _part(
            "P-T (low), loss at conv1 minus the largest in layer1 and layer2 (no steady growth)",
            REWIND,
            _conv1_above,
            ">",
            float(row["conv1"] - _stage(table, 1, 2).max(axis=1).iloc[0]),
        ),
        _part(
            "P-T (low), rank correlation of loss with depth, without fc (the summary's reading)",
            REWIND,
            _depth_trend,
            ">",
            spearman(pd.Series(range(len(rest))), rest.reset_index(drop=True)),
            unit="correlation",
        ),
    )
    return Claim(
        23,
        "3.4",
        "Figure 5",
        "P-T's largest losses are at the top, but not in steady growth: conv1 exceeds "
        "every module of layer1 and layer2.",
        parts,
    )


def path(evidence: Evidence, init: str, noiseless: bool) -> pd.DataFrame:
    """Training AUC of conv1 on the direct path."""
    rows = evidence.rows(
        "paths",
        role=ROLE,
        init=init,
        rate=RATE[init],
        module="conv1",
        path="direct",
        split="train",
        metric="auc",
    )
    rows = rows[rows["noise"] == 0] if noiseless else rows
    if rows.empty or rows["fraction"].max() != 1:
        raise NotRecorded(f"paths does not reach the end of conv1's direct path for {init}")
    return rows


def _moved(evidence: Evidence, init: str) -> pd.Series:
    rows = path(evidence, init, noiseless=True)
    return rows[rows["fraction"] == 1].set_index("seed")["distance"].sort_index()


def _moves_further(evidence: Evidence) -> Sample:
    ri_t, p_t = paired(evidence, _moved(evidence, "RI-T"), _moved(evidence, "P-T"))
    return sample(ri_t / p_t)


def along(evidence: Evidence, init: str, where: str) -> pd.Series:
    """By seed: AUC at the end of the noiseless direct path minus at its 'start' (fraction 0) or 'lowest'
    point."""
    table = path(evidence, init, noiseless=True).pivot(index="seed", columns="fraction", values="value")
    if where == "start" and 0 not in table:
        raise NotRecorded(f"paths has no start of conv1's path for {init}")
    return table[1.0] - (table[0.0] if where == "start" else table.min(axis=1))


def tolerance(evidence: Evidence, init: str) -> pd.Series:
    """By seed: the largest recorded |noise| at the end of the path up to which AUC stays within TOLERATED of
    the noiseless AUC (the worse of both signs, no larger noise counted after a failure)."""
    rows = path(evidence, init, noiseless=False)
    rows = rows[rows["fraction"] == 1]
    worst = rows.assign(size=rows["noise"].abs()).pivot_table(
        index="seed", columns="size", values="value", aggfunc="min"
    )
    if 0 not in worst:
        raise NotRecorded(f"paths has no noiseless end of conv1's path for {init}")
    kept = worst.ge(worst[0.0] - TOLERATED, axis=0).cummin(axis=1)
    if kept[worst.columns.max()].any():
        evidence.note(f"{init} bears the largest noise tried, {worst.columns.max():g}, and perhaps more")
    return pd.Series({seed: float(max(row.index[row])) for seed, row in kept.iterrows()})


def _several_times(evidence: Evidence) -> Sample:
    """RI-T's tolerance minus twice P-T's. Raises Unmeasured where RI-T bears the largest noise that was tried
    and that is less than twice P-T's: how much more it would bear is not known."""
    ri_t, p_t = paired(evidence, tolerance(evidence, "RI-T"), tolerance(evidence, "P-T"))
    largest = path(evidence, "RI-T", noiseless=False)["noise"].abs().max()
    if ((ri_t == largest) & (ri_t <= 2 * p_t)).any():
        raise Unmeasured("that is too little to compare with twice P-T's", settle="larger noise")
    return sample(ri_t - 2 * p_t)


def _claim24() -> Claim:
    flat = "0.02: a tenth of the span of the paper's colour scale, rounded down"
    works = "0.1: a third of the span of the paper's colour scale"
    several = "2: 'several times' is at least twice"
    moved = paper.figure6().set_index("init")["value"]
    parts = (
        _part(
            "distance that conv1 moves: RI-T (high) / P-T (low)",
            PATHS_BOTH,
            _moves_further,
            ">",
            moved["RI-T"] / moved["P-T"],
            1.0,
            "1: the claim is which moves further",
            "ratio",
        ),
        _part(
            "P-T (low), training AUC at the end minus the lowest along conv1's direct path",
            ("paths",),
            lambda evidence: sample(along(evidence, "P-T", "lowest")),
            "<",
            None,
            0.02,
            flat,
        ),
        _part(
            "RI-T (high), training AUC at the end minus at conv1's initial value",
            PATHS_BOTH,
            lambda evidence: sample(along(evidence, "RI-T", "start")),
            ">",
            None,
            0.1,
            works,
        ),
        _part(
            "tolerated noise at conv1's final value: RI-T (high) minus twice P-T (low)",
            PATHS_BOTH,
            _several_times,
            ">",
            None,
            0.0,
            several,
            "noise factor",
        ),
    )
    return Claim(
        24,
        "3.4",
        "Figure 6",
        "conv1 of P-T works along its whole path in a narrow band of noise and moves "
        "little; conv1 of RI-T does not work near its initial value, moves far, and tolerates several times "
        "more noise at its end.",
        parts,
    )


def _robust_to_rewinding(evidence: Evidence) -> Sample:
    return difference(evidence, *(body(losses(evidence, init)).mean(axis=1) for init in ("RI-T", "P-T")))


def _claim25() -> Claim:
    parts = (
        _part(
            "mean loss by rewinding a module, fc apart: RI-T (high) minus P-T (low)",
            REWIND_BOTH,
            _robust_to_rewinding,
            ">",
            _paper_body("RI-T", "high").mean() - _paper_body("P-T", "low").mean(),
        ),
        _part(
            "tolerated noise at conv1's final value: P-T (low) minus RI-T (high)",
            PATHS_BOTH,
            lambda evidence: difference(evidence, tolerance(evidence, "P-T"), tolerance(evidence, "RI-T")),
            ">",
            None,
            unit="noise factor",
        ),
    )
    return Claim(
        25,
        "3.4",
        "text of the summary only",
        "P-T is more robust than RI-T, tested by rewinding and by noise (in the paper the two disagree).",
        parts,
    )


CLAIMS = (_claim22(), _claim23(), _claim24(), _claim25())
