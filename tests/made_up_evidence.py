"""Made-up tables in which the paper is right: its own numbers, repeated over seeds with a little noise, and
made-up ones for what it does not print."""

import itertools

import numpy as np
import pandas as pd

from tlbook.evidence import paper
from tlbook.evidence.statistics import ALL, NATURAL

SEEDS = tuple(range(3, 13))  # those of the confirmation
RATES = ("low", "high")


def world(seeds=SEEDS, noise: float = 1e-3) -> dict[str, pd.DataFrame]:
    """All tables that statements read, for some seeds; ``noise`` is relative."""
    rng = np.random.default_rng(0)
    once = paper.tables()
    curves = pd.concat([once["learning_curves"], _trained(), _both_rates(once)], ignore_index=True)
    curves.loc[curves.epoch < 20, "value"] *= 1.02  # where P-T passes RI-T it is a little above it
    single = {
        "learning_curves": curves.drop_duplicates(["role", "init", "rate", "split", "metric", "epoch"]),
        "block_shuffle": pd.concat([once["block_shuffle"], _unshuffled()], ignore_index=True),
        "rewind": once["rewind"],
        "paths": _paths(once["paths"]),
        "finetuned": once["finetuned"],
        "flatness": _flatness(),
    }
    made = {name: _over_seeds(table, seeds) for name, table in single.items()}
    distance, lines = once["distance"], once["interpolation"]
    pairs = {
        "similarity": once["similarity"],
        "distance": pd.concat([distance, _far_at_high(distance)]),
        "interpolation": _with_clipart(lines),
        "mistakes": _mistakes(),
        "mistake_difficulty": _difficulty(),
    }
    made |= {name: _over_pairs(table, seeds) for name, table in pairs.items()}
    for table in made.values():
        table["value"] *= 1 + noise * rng.normal(size=len(table))
    return made | {"domains": once["domains"], "source_accuracy": once["source_accuracy"]}


def changed(tables: dict, name: str, change, **where) -> dict:
    """The tables with ``change(value)`` in the rows of one that equal ``where``."""
    table = tables[name].copy()
    rows = np.logical_and.reduce([table[column] == wanted for column, wanted in where.items()])
    table.loc[rows, "value"] = change(table.loc[rows, "value"])
    return tables | {name: table}


def _product(**columns) -> pd.DataFrame:
    return pd.DataFrame(itertools.product(*columns.values()), columns=list(columns))


def _over_seeds(table: pd.DataFrame, seeds) -> pd.DataFrame:
    return pd.concat([table.assign(seed=seed) for seed in seeds], ignore_index=True)


def _over_pairs(table: pd.DataFrame, seeds) -> pd.DataFrame:
    """All pairs of runs; of P-T and RI-T also those of one seed; P has no seed; lines within a run one
    seed."""
    within = table.pairing == "same_run" if "pairing" in table else pd.Series(False, table.index)
    with_p = table.init_b == "P"
    between = (table.init != table.init_b) & ~with_p
    copies = []
    for first, second in itertools.product(seeds, seeds):
        kept = between | ((within | with_p) if first == second else (first < second) & ~within & ~with_p)
        rows = table[kept.to_numpy()]
        copies.append(rows.assign(seed=first, seed_b=np.where(rows.init_b == "P", 0, second)))
    return pd.concat(copies, ignore_index=True)


def _with_values(table: pd.DataFrame, value) -> pd.DataFrame:
    return table.assign(value=table.apply(value, axis=1).astype(float))


def _trained() -> pd.DataFrame:
    """The end of training: 99 % or 0.99, and a loss of 0.05."""
    runs = _product(role=ALL, init=("P-T", "RI-T"), rate=RATES, metric=("role's", "loss"), split=("train",))
    runs = runs.assign(
        metric=np.where(runs.metric == "loss", "loss", np.where(runs.role == "xray", "auc", "accuracy"))
    )
    runs["epoch"] = runs.role.map(lambda role: 400.0 if role == "xray" else 100.0)
    runs.loc[(runs.role == "xray") & (runs.init == "P-T"), "epoch"] = 200.0
    return _with_values(runs, lambda row: {"loss": 0.05, "auc": 0.99, "accuracy": 99.0}[row.metric])


def _with_clipart(lines: pd.DataFrame) -> pd.DataFrame:
    """Figure 4 does not show two RI-T on clipart: as on real."""
    real = lines[(lines.role == "real") & (lines.init == "RI-T") & (lines.pairing == "independent")]
    return pd.concat([lines, real[real.init_b == "RI-T"].assign(role="clipart")], ignore_index=True)


def _both_rates(once: dict) -> pd.DataFrame:
    """On xray P-T at the high rate does not converge: the paper prints nothing."""
    runs = _product(role=("xray",), init=("P-T",), rate=("high",), split=("dev", "test"), metric=("auc",))
    return runs.assign(epoch=200.0, value=0.5)


def _unshuffled() -> pd.DataFrame:
    sizes = paper.figure3()[["block_size", "block_fraction"]].drop_duplicates()
    bars = _product(role=NATURAL, init=("P-T", "RI-T"), split=("train",), metric=("accuracy",)).merge(
        sizes, how="cross"
    )
    return bars.assign(rate=bars.init.map({"P-T": "low", "RI-T": "high"}), value=99.0)


def _paths(moved: pd.DataFrame) -> pd.DataFrame:
    start = moved.assign(fraction=0.0, value=moved.init.map({"P-T": 0.95, "RI-T": 0.6}))
    return pd.concat([moved.assign(value=0.99), start], ignore_index=True)


def _flatness() -> pd.DataFrame:
    steps = _product(
        role=ALL, init=("P-T", "RI-T"), rate=RATES, normalisation=("filter",), distance=(0.0, 0.05, 0.1, 0.5),
        split=("train",), metric=("loss",),
    )  # fmt: skip
    return _with_values(steps, lambda row: 0.05 + row.distance * (2 if row.init == "RI-T" else 1))


def _kinds(*kinds) -> pd.DataFrame:
    rate = {"P-T": "low", "RI-T": "high"}
    rows = [{"role": role, "init": a, "init_b": b} for role in ALL for a, b in kinds]
    return pd.DataFrame(rows).assign(
        rate=lambda pair: pair.init.map(rate), rate_b=lambda pair: pair.init_b.map(rate)
    )


def _mistakes() -> pd.DataFrame:
    pairs = _kinds(("P-T", "P-T"), ("RI-T", "RI-T"), ("P-T", "RI-T")).assign(metric="kappa")
    return _with_values(pairs, lambda row: 0.6 if row.init == row.init_b == "P-T" else 0.4)


def _difficulty() -> pd.DataFrame:
    sets = pd.DataFrame({"examples": ["only_first_wrong", "only_second_wrong"], "value": [0.7, 0.3]})
    return _kinds(("P-T", "RI-T")).merge(sets, how="cross")


def _far_at_high(distance: pd.DataFrame) -> pd.DataFrame:
    """P-T at the high rate: twice as far as at the low one."""
    low = distance[(distance.init == "P-T") & (distance.init_b == "P-T")]
    return low.assign(rate="high", rate_b="high", value=2 * low.value)
