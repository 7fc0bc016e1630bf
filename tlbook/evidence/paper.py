"""What the paper reports, as tidy tables in our names, each value with its reading error.

All values come from `paper.json`, which lists series (`values` at the places `at`, a series' own or
all series', of one `index` column).
Printed numbers have error 0; the others were read from plots. Accuracies are percent, AUC is 0-1;
CheXpert is role xray, learning rates 0.02 and 0.1 are low and high, block sizes are of 224 pixels.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import pandas as pd

from tlbook.errors import TlbookError
from tlbook.vocabulary import PAPER_RATES

SIDE = 224
PRETRAINING_EPOCHS = 90
EPOCHS = 100  # of fine-tuning
CLASSES = 345  # of DomainNet
ROLES = ("real", "clipart", "quickdraw")
SOURCES = (
    *("figure2", "figure2_curves", "figure3", "figure4", "figure4_lines", "figure5", "figure6", "figure7"),
    *("figure16", "table1", "table2"),
)


@cache
def _data() -> dict:
    return json.loads(resources.files("tlbook.evidence").joinpath("paper.json").read_text(encoding="utf-8"))


@cache
def _tidy(name: str) -> pd.DataFrame:
    """One row per value of the series of `name`; values the paper does not show are left out."""
    data = _data()[name]
    rows = [
        {
            **{key: entry for key, entry in series.items() if key not in ("at", "values", "error")},
            data["index"]: place,
            "value": value,
            "error": series["error"],
        }
        for series in data["series"]
        for place, value in zip(series.get("at", data["at"]), series["values"], strict=True)
        if value is not None
    ]
    return pd.DataFrame(rows)


def about(name: str) -> str:
    """A sentence or two on what a figure or table shows and how it was read."""
    _known(name)
    return _data()[name]["about"]


def frame(name: str) -> pd.DataFrame:
    """The figure or table called `name` (one of SOURCES), tidy."""
    _known(name)
    return globals()[name]()


def value(name: str, **where: object) -> float:
    """The one value of figure or table `name` whose columns equal `where`, for example
    value("figure2", role="real", init="P-T", rate="low", checkpoint="final"). Raises TlbookError if the
    paper has none or more than one."""
    rows = frame(name)
    for column, wanted in where.items():
        if column not in rows:
            raise TlbookError(f"{name} has no column {column!r}; it has {', '.join(rows.columns)}")
        rows = rows[rows[column] == wanted]
    if len(rows) != 1:
        asked = ", ".join(f"{column}={wanted}" for column, wanted in where.items())
        raise TlbookError(f"{name} of the paper has {len(rows)} values for {asked}; name exactly one")
    return float(rows["value"].iloc[0])


def figure2() -> pd.DataFrame:
    """Where the learning curves end, and on xray their best: role, init, rate, split, metric, checkpoint
    (best, final), value, error. Metrics: accuracy, auc, epoch (of the best, and the last),
    epochs_to_reference (epochs of 100 until P-T passes what RI-T ends with)."""
    return _tidy("figure2").copy()


def figure2_curves() -> pd.DataFrame:
    """The curves themselves: role, init, rate, split, metric, epoch, value, error."""
    return _tidy("figure2_curves").copy()


def figure3() -> pd.DataFrame:
    """Block shuffling: role, init, split, metric, block_size (text), value, error, block_fraction. Metrics:
    accuracy (test), mean_accuracy (train), and relative_drop (percent, printed; init 'P-T & RI-T')."""
    rows = _tidy("figure3").copy()
    rows["block_fraction"] = [0.0 if size == "*" else int(size) / SIDE for size in rows["block_size"]]
    return rows


def figure4() -> pd.DataFrame:
    """Lines between models: role, init, init_b, checkpoint, checkpoint_b, pairing, metric, quantity (end,
    end_b, minimum, middle, maximum of the test metric), value, error."""
    return _tidy("figure4").copy()


def figure4_lines() -> pd.DataFrame:
    """Figures 4 and 16 as curves: as figure4, with alpha (0: the first model, 1: the second)."""
    return _tidy("figure4_lines").copy()


def figure16() -> pd.DataFrame:
    """As figure4, where the two RI-T start from the same random weights (pairing same_init); minima only."""
    return _tidy("figure16").copy()


def figure5() -> pd.DataFrame:
    """Rewinding one module (xray): role, init, rate, split, metric (auc), module ('none' first), value,
    error."""
    return _tidy("figure5").copy()


def figure6() -> pd.DataFrame:
    """How far conv1 moves in training (xray): role, init, metric (distance), module, value, error."""
    return _tidy("figure6").copy()


def figure7() -> pd.DataFrame:
    """Fine-tuning from checkpoints: role ('source' is the checkpoint's own accuracy), split, metric
    (accuracy on test, mean_accuracy on train), checkpoint (epochs), value, error, checkpoint_fraction (of 90
    epochs)."""
    rows = _tidy("figure7").copy()
    rows["checkpoint_fraction"] = rows["checkpoint"] / PRETRAINING_EPOCHS
    return rows


def table1() -> pd.DataFrame:
    """Linear CKA on xray: role, init, init_b, metric (cka), module, value, error."""
    return _tidy("table1").copy()


def table2() -> pd.DataFrame:
    """Distances in parameter space: init, init_b, metric (l2), role, value, error. Compare ratios only."""
    return _tidy("table2").copy()


def _known(name: str) -> None:
    if name not in SOURCES:
        raise TlbookError(
            f"no figure or table of the paper is called {name!r}; there are {', '.join(SOURCES)}"
        )


@cache
def tables() -> dict[str, pd.DataFrame]:
    """The paper's figures and tables in the shape of our own, as if of one seed (0; of a pair 0 and 1), so
    that the same statistic reads both.

    P-T has the low rate and RI-T the high one where the paper names none. The paper chooses rates and best
    epochs by what it shows, so its test values stand for dev too. What it does not print is missing."""
    return {
        "learning_curves": _with_dev(_curves()),
        "block_shuffle": _with_dev(_bars()),
        "domains": pd.DataFrame({"role": [*ROLES, "xray"], "chance": [100 / CLASSES] * 3 + [0.5]}),
        "interpolation": _lines(),
        "rewind": figure5().assign(seed=0, method="rewind", to_epoch=0),
        "paths": _at_rates(figure6()).assign(
            seed=0, path="direct", fraction=1.0, noise=0.0, split="train", metric="auc",
            distance=lambda rows: rows.value, value=float("nan"),
        ),
        "similarity": _at_rates(table1()).assign(seed=0, seed_b=1, module_b=lambda rows: rows.module),
        "distance": _at_rates(table2()).assign(seed=0, seed_b=1, module="all", metric="l2_sum"),
        "finetuned": _with_dev(figure7().query("role != 'source'").assign(rate="low", seed=0)),
        "source_accuracy": figure7().query("role == 'source'").drop(columns="role"),
    }  # fmt: skip


def _with_dev(table: pd.DataFrame) -> pd.DataFrame:
    """Test values stand for dev."""
    return pd.concat([table, table[table.split == "test"].assign(split="dev")], ignore_index=True)


def _at_rates(table: pd.DataFrame) -> pd.DataFrame:
    for init, rate in (("init", "rate"), ("init_b", "rate_b")):
        if init in table:
            table[rate] = table[init].map(PAPER_RATES)
    return table


def _curves() -> pd.DataFrame:
    """The ends of the curves, on xray their best, and the epoch at which P-T passes the end of RI-T."""
    keys = ["role", "init", "rate", "checkpoint"]
    rows = figure2()
    epochs = rows[rows.metric == "epoch"].set_index(keys).value
    ends = rows[rows.metric.isin(("accuracy", "auc"))]
    at = [epochs.get(tuple(key), EPOCHS) for key in ends[keys].itertuples(index=False)]
    level = ends.query("init == 'RI-T' and rate == 'high' and checkpoint == 'final'").set_index("role").value
    passing = rows[rows.metric == "epochs_to_reference"]
    there = passing.assign(epoch=passing.value, metric="accuracy", value=passing.role.map(level))
    return pd.concat([ends.assign(epoch=at), there], ignore_index=True).assign(seed=0)


def _bars() -> pd.DataFrame:
    return _at_rates(figure3().query("metric != 'relative_drop'").assign(seed=0))


def _lines() -> pd.DataFrame:
    """Both ends and the lowest point of a line, where Figures 4 and 16 (and, for the ends, 2) show them."""
    keys = ["role", "init", "init_b", "checkpoint", "checkpoint_b", "pairing", "metric"]
    shown = pd.concat([figure4(), figure16()]).drop_duplicates([*keys, "quantity"])
    shown = shown.pivot(index=keys, columns="quantity", values="value").reset_index()
    ends = (
        figure2()
        .query("metric == 'accuracy' and checkpoint == 'final'")
        .set_index(["role", "init", "rate"])
        .value
    )
    lines = []
    for place, (alpha, name, init) in enumerate(
        ((0.0, "end", "init"), (1.0, "end_b", "init_b"), (0.5, "minimum", ""))
    ):
        value = shown[name]
        if place < 2:
            known = [
                ends.get((role, one, PAPER_RATES[one]))
                for role, one in zip(shown.role, shown[init], strict=True)
            ]
            value = value.fillna(pd.Series(known, shown.index, dtype=float))
        lines.append(shown[keys].assign(alpha=alpha, value=value))
    rows = pd.concat(lines).dropna(subset="value").assign(seed=0, seed_b=1, split="test")
    rows.loc[rows.pairing == "same_run", "seed_b"] = 0
    return _at_rates(rows)
