"""What the paper claims on question 4 (section 3.4, Figures 5 and 6), claims 22 to 25, on X-rays.

A module's loss is what test AUC loses when that module alone goes back to its weights before training. Final
models at the paper's rates, P-T low and RI-T high; `fc`, which then is a fresh head, is left out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tlbook import vocabulary
from tlbook.evidence.selection import Evidence, NotRecorded, by_seed
from tlbook.evidence.statements import Claim, Statement, Statistic
from tlbook.evidence.statistics import XRAY, minus


def losses(evidence: Evidence, role: str, init: str) -> pd.DataFrame:
    """Test AUC lost by rewinding each module but fc; rows are seeds, columns modules by depth."""
    where = {
        "role": role,
        "init": init,
        "rate": vocabulary.PAPER_RATES[init],
        "method": "rewind",
        "to_epoch": 0,
    }
    rows = evidence.rows("rewind", split="test", metric="auc", **where)
    table = rows.pivot(index="seed", columns="module", values="value")
    if "none" not in table or table.isna().any().any():
        raise NotRecorded(f"rewind lacks a module of a run of {init}")
    names = [name for name in vocabulary.modules(table.columns) if name != "fc"]
    return -table[names].sub(table["none"], axis=0)


def loss_at(init: str, *stages: str) -> Statistic:
    """The mean loss over the modules of some stages (conv1, layer1, …); over all of them if none are
    named."""

    def mean(evidence: Evidence, role: str) -> pd.Series:
        table = losses(evidence, role, init)
        return table[[name for name in table if not stages or name.split(".")[0] in stages]].mean(axis=1)

    return mean


def largest_loss(evidence: Evidence, role: str) -> pd.Series:
    return losses(evidence, role, "P-T").max(axis=1)


def path_of_conv1(evidence: Evidence, role: str, init: str, fraction: float) -> pd.DataFrame:
    """The noiseless direct path of conv1 from its initial (fraction 0) to its final weights (1): training
    AUC."""
    where = {
        "role": role,
        "init": init,
        "rate": vocabulary.PAPER_RATES[init],
        "module": "conv1",
        "path": "direct",
    }
    return evidence.rows("paths", split="train", metric="auc", noise=0.0, fraction=fraction, **where)


def log_moved(init: str) -> Statistic:
    """Log of the l2 distance that conv1 moves in training."""
    return lambda evidence, role: by_seed(
        path_of_conv1(evidence, role, init, 1.0).assign(value=lambda rows: np.log(rows.distance))
    )


def needs_its_end(init: str) -> Statistic:
    """Training AUC with conv1 at the end minus with conv1 where it began."""

    def difference(evidence: Evidence, role: str) -> pd.Series:
        at_end, at_start = (by_seed(path_of_conv1(evidence, role, init, place)) for place in (1.0, 0.0))
        return at_end - at_start

    return difference


CLAIMS = (
    Claim(22, "3.4", "Figure 5", "Rewinding a module costs P-T little; conv1 costs RI-T much.", (
        Statement(
            letter="a", text="largest loss by rewinding a module, fc apart, P-T",
            statistic=largest_loss, asks="<", limit=0.03, targets=XRAY, unit="AUC",
            why="0.03: the paper's largest is 0.024, read to 0.003 at both ends",
        ),
        Statement(
            letter="b", text="loss by rewinding conv1, RI-T minus P-T",
            statistic=minus(loss_at("RI-T", "conv1"), loss_at("P-T", "conv1")), asks=">", limit=0.05,
            targets=XRAY, unit="AUC", why="0.05: twice what P-T loses at most in the paper",
        ),
    )),
    Claim(23, "3.4", "Figure 5", "What P-T loses, it loses at the top.", (
        Statement(
            letter="a", text="mean loss by rewinding a module of layer4 minus of layer1 and layer2, P-T",
            statistic=minus(loss_at("P-T", "layer4"), loss_at("P-T", "layer1", "layer2")),
            asks=">", targets=XRAY, unit="AUC",
        ),
    )),
    Claim(24, "3.4", "Figure 6", "conv1 moves further in RI-T, and does not work where it began.", (
        Statement(
            letter="a", text="log ratio of the distances that conv1 moves, RI-T to P-T",
            statistic=minus(log_moved("RI-T"), log_moved("P-T")), asks=">", targets=XRAY, unit="log ratio",
        ),
        Statement(
            letter="b", text="training AUC with conv1 at its end minus at its start, RI-T minus P-T",
            statistic=minus(needs_its_end("RI-T"), needs_its_end("P-T")), asks=">", targets=XRAY, unit="AUC",
        ),
    )),
    Claim(25, "3.4", "text of the summary only", "P-T bears rewinding better.", (
        Statement(
            letter="a", text="mean loss by rewinding a module, fc apart, RI-T minus P-T",
            statistic=minus(loss_at("RI-T"), loss_at("P-T")), asks=">", targets=XRAY, unit="AUC",
        ),
    )),
)  # fmt: skip
