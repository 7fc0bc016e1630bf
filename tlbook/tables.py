"""Every table that the five questions record: its columns, their units and meaning.

Tables are long: one measured number a row. Claims and figures read nothing else, and `check` holds
whoever writes a table to this page. Units: accuracies are percent (0-100), AUC is 0-1, loss is in nats,
fractions are 0-1. A run that diverged is a row like any other (its chance-level accuracy, a NaN loss).

A pair of models is two sets of columns: `init, rate, seed` and `init_b, rate_b, seed_b`. In a mixed pair
P-T comes first, and P (which trained on no target) is always second, with rate_b "-" and seed_b 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from tlbook.errors import TlbookError
from tlbook.scales import INITS, RATES, SOURCE, TARGETS

QUESTIONS = ("feature_reuse", "differences", "loss_landscape", "criticality", "checkpoints")
SPLITS = ("train", "dev", "test")
# Ranges of `value` by the name that stands in `metric`; a name that is missing here is not checked.
METRIC_RANGES = {
    "accuracy": (0.0, 100.0),
    "mean_accuracy": (0.0, 100.0),
    "auc": (0.0, 1.0),
    "mean_auc": (0.0, 1.0),
    "loss": (0.0, float("inf")),
    "mean_loss": (0.0, float("inf")),
}


@dataclass(frozen=True)
class Column:
    """A column: `kind` is text, integer or number; `values` lists what a text column may hold (empty: any
    text); `low` and `high` bound a number."""

    name: str
    unit: str
    meaning: str
    kind: str = "text"
    values: tuple[str, ...] = ()
    low: float = float("-inf")
    high: float = float("inf")


@dataclass(frozen=True)
class Table:
    """A table of one question. All columns but the `measured` ones together name a row."""

    question: str
    name: str
    meaning: str
    columns: tuple[Column, ...]
    measured: tuple[str, ...] = ("value",)

    @property
    def names(self) -> list[str]:
        """The column names in order."""
        return [column.name for column in self.columns]

    @property
    def keys(self) -> list[str]:
        """The columns that name a row; no two rows agree in all of them."""
        return [name for name in self.names if name not in self.measured]

    @property
    def dtypes(self) -> dict[str, type]:
        """What `pandas.read_csv(dtype=…)` needs so that '*' and '4' stay text."""
        kinds = {"text": str, "integer": int, "number": float}
        return {column.name: kinds[column.kind] for column in self.columns}


ROLE = Column("role", "-", "the target", values=TARGETS)
INIT = Column("init", "-", "what training started from: P-T from P, RI-T from random weights")
RATE = Column("rate", "-", "learning rate: low and high are the paper's 0.02 and 0.1", values=RATES)
SEED = Column("seed", "-", "which of the study's runs; sets init, head and order", "integer", low=0)
INIT_B = Column("init_b", "-", "the second model's init, or P itself", values=(*INITS, "P"))
RATE_B = Column("rate_b", "-", "the second model's rate; '-' for P", values=(*RATES, "-"))
SEED_B = Column("seed_b", "-", "the second model's seed; 0 for P", "integer", low=0)
PAIR = (ROLE, INIT, RATE, SEED, INIT_B, RATE_B, SEED_B)
EPOCH = Column("epoch", "epochs", "epochs trained; 0 is before training", "integer", low=0)
SPLIT = Column("split", "-", "which examples were measured", values=SPLITS)
METRIC = Column("metric", "-", "what was measured")
VALUE = Column("value", "by metric", "accuracy in percent, AUC 0-1, loss in nats", "number")
MODULE = Column("module", "-", "conv1, a block such as layer2.0, a whole stage such as layer2, or fc")
BLOCK_SIZE = Column(
    "block_size",
    "pixels",
    "side of a shuffled block; '*' shuffles pixels across channels too; the image's side means unshuffled",
)
BLOCK_FRACTION = Column(
    "block_fraction",
    "fraction",
    "block size / image side; 0 for '*', 1 unshuffled",
    "number",
    low=0.0,
    high=1.0,
)
CHECKPOINT = Column("checkpoint", "epochs", "epochs of pre-training behind the checkpoint", "integer", low=0)
CHECKPOINT_FRACTION = Column(
    "checkpoint_fraction", "fraction", "checkpoint / all epochs of pre-training", "number", low=0.0, high=1.0
)


def _kept(suffix: str) -> Column:
    return Column(
        f"checkpoint{suffix}",
        "-",
        "best (by the dev metric, earliest on ties) or final epoch",
        values=("best", "final"),
    )


_FEATURE_REUSE = (
    Table(
        "feature_reuse",
        "learning_curves",
        "Unshuffled, augmented runs, epoch by epoch (Figure 2). The training metric is in evaluation mode "
        "over "
        "the whole training set, each epoch; dev and test at the scale's measured epochs. A run with several "
        "labels has auc only; a single-label xray run has accuracy and auc.",
        (ROLE, INIT, RATE, SEED, EPOCH, SPLIT, METRIC, VALUE),
    ),
    Table(
        "feature_reuse",
        "block_shuffle",
        "Runs without augmentation at the final epoch, by block size (Figure 3). Besides accuracy, auc, "
        "loss: "
        "on split train mean_accuracy and mean_auc, the mean over epochs 1 … last (optimisation speed).",
        (ROLE, INIT, RATE, SEED, BLOCK_SIZE, BLOCK_FRACTION, SPLIT, METRIC, VALUE),
    ),
    Table(
        "feature_reuse",
        "convergence",
        "When each unshuffled run first reached what RI-T ends with: the mean test metric of RI-T at its "
        "better "
        "rate, at its final or best epoch. A run that never did has its last epoch and reached 0.",
        (
            ROLE,
            INIT,
            RATE,
            SEED,
            Column("reference", "-", "which RI-T epoch sets the level", values=("final", "best")),
            Column("reference_rate", "-", "RI-T's better rate, by mean dev metric at the end", values=RATES),
            Column(
                "metric",
                "-",
                "epochs (first measured epoch there), fraction (of all epochs), images (seen)",
                values=("epochs", "fraction", "images"),
            ),
            Column("value", "by metric", "epochs, fraction of training 0-1, or images", "number", low=0.0),
            Column(
                "reached",
                "0 or 1",
                "1 if the level was reached, 0 if training ended before",
                "integer",
                low=0,
                high=1,
            ),
        ),
        measured=("value", "reached"),
    ),
    Table(
        "feature_reuse",
        "domains",
        "The data behind each role, the source too.",
        (
            Column("role", "-", "a target, or source", values=(*TARGETS, SOURCE)),
            Column("dataset", "-", "name of the data set"),
            Column("classes", "classes", "classes, or labels where an image has several", "integer", low=1),
            Column("train", "images", "training images", "integer", low=1),
            Column("dev", "images", "dev images", "integer", low=0),
            Column("test", "images", "test images", "integer", low=1),
            Column(
                "chance",
                "percent or AUC",
                "uniform guessing: 100/classes percent; 0.5 where metric is auc",
                "number",
                low=0.0,
                high=100.0,
            ),
            Column("metric", "-", "the role's metric", values=("accuracy", "auc")),
        ),
        measured=("dataset", "classes", "train", "dev", "test", "chance", "metric"),
    ),
)

_DIFFERENCES = (
    Table(
        "differences",
        "mistakes",
        "Mistakes of pairs on the test set. shared: examples both get wrong / examples either gets wrong; "
        "kappa: error consistency, agreement in being right or wrong beyond independent errors of the "
        "same rates; "
        "agreement: same prediction. Several labels: over example-label pairs.",
        (*PAIR, Column("metric", "-", "shared, kappa, agreement, …"), VALUE),
    ),
    Table(
        "differences",
        "mistake_difficulty",
        "How hard the examples of a P-T & RI-T pair are: mean, over a set of test examples, of the share "
        "of models "
        "outside the comparison that get the example wrong (0 easy, 1 hard).",
        (
            *PAIR,
            Column(
                "examples",
                "-",
                "which examples",
                values=("only_first_wrong", "only_second_wrong", "both_wrong", "both_right"),
            ),
            Column("count", "examples", "examples in the set", "integer", low=0),
            Column("value", "fraction", "mean difficulty; NaN for an empty set", "number", low=0.0, high=1.0),
        ),
        measured=("count", "value"),
    ),
    Table(
        "differences",
        "similarity",
        "Similarity of two models' module outputs on the target's test images. module layerN is the "
        "stage's output.",
        (
            *PAIR,
            MODULE,
            Column("module_b", "-", "the second model's module"),
            Column("metric", "-", "cka (linear, plain), cka_debiased, cka_null, neighbours, …"),
            VALUE,
        ),
    ),
    Table(
        "differences",
        "distance",
        "l2 in parameter space over modules both have. module 'all': metric l2 is the root of the summed "
        "squares, "
        "l2_sum the sum of the modules' l2.",
        (
            *PAIR,
            EPOCH,
            MODULE,
            Column("metric", "-", "l2, l2_sum, l2_relative (to P's norm), l2_per_root"),
            VALUE,
        ),
    ),
)

_LOSS_LANDSCAPE = (
    Table(
        "loss_landscape",
        "interpolation",
        "Metrics along (1-alpha) first + alpha second (Figures 4 and 16). pairing says what the two share: "
        "independent (nothing, or P), same_init (same random weights, other order), same_run (two epochs "
        "of one "
        "run), and the controls order, head, rate, other_source.",
        (
            *PAIR,
            Column("pairing", "-", "what the two models share"),
            _kept(""),
            _kept("_b"),
            Column("alpha", "-", "place on the line: 0 the first model, 1 the second", "number"),
            SPLIT,
            METRIC,
            VALUE,
        ),
    ),
    Table(
        "loss_landscape",
        "flatness",
        "Metrics after a step in random directions, mean over directions. raw: distance is in units of "
        "the whole "
        "weight vector's norm; filter: each filter's step is relative to that filter's norm.",
        (
            ROLE,
            INIT,
            RATE,
            SEED,
            Column("normalisation", "-", "raw or filter", values=("raw", "filter")),
            Column("distance", "relative", "length of the step; 0 is the model itself", "number", low=0.0),
            SPLIT,
            METRIC,
            VALUE,
        ),
    ),
)

_CRITICALITY = (
    Table(
        "criticality",
        "rewind",
        "Final models with one module set back (Figure 5); module 'none' is the model itself.",
        (
            ROLE,
            INIT,
            RATE,
            SEED,
            MODULE,
            Column(
                "method",
                "-",
                "rewind (to an epoch kept) or redraw (a fresh draw of the init)",
                values=("rewind", "redraw"),
            ),
            Column("to_epoch", "epochs", "the epoch rewound to", "integer", low=0),
            SPLIT,
            METRIC,
            VALUE,
        ),
    ),
    Table(
        "criticality",
        "paths",
        "Metrics with one module moved from its initial to its final value and Gaussian noise times a "
        "signed factor "
        "added, mean over draws (Figure 6).",
        (
            ROLE,
            INIT,
            RATE,
            SEED,
            MODULE,
            Column("path", "-", "direct or optimisation", values=("direct", "optimisation")),
            Column(
                "fraction", "fraction", "place on the path: 0 initial, 1 final", "number", low=0.0, high=1.0
            ),
            Column("distance", "l2", "distance of that place from the initial value", "number", low=0.0),
            Column("noise", "-", "signed noise factor", "number"),
            SPLIT,
            METRIC,
            VALUE,
        ),
        measured=("distance", "value"),
    ),
)

_CHECKPOINTS = (
    Table(
        "checkpoints",
        "finetuned",
        "P-T runs from checkpoints along pre-training, final epoch (Figure 7); besides the metrics, "
        "mean_accuracy "
        "and mean_auc on split train are optimisation speed. Checkpoint 0 is random weights.",
        (ROLE, CHECKPOINT, CHECKPOINT_FRACTION, RATE, SEED, SPLIT, METRIC, VALUE),
    ),
    Table(
        "checkpoints",
        "source_accuracy",
        "The source's accuracy at each checkpoint of pre-training, and, on split train, rate: the raw "
        "learning rate that its last epoch was trained at. Of a reader's own files neither is known: NaN.",
        (CHECKPOINT, CHECKPOINT_FRACTION, SPLIT, METRIC, VALUE),
    ),
    Table(
        "checkpoints",
        "tuning_curves",
        "The runs of finetuned epoch by epoch: the role's metric on the training set, in evaluation mode.",
        (ROLE, CHECKPOINT, RATE, SEED, EPOCH, METRIC, VALUE),
    ),
    Table(
        "checkpoints",
        "constant_rate",
        "As finetuned, from checkpoints of a second pre-training at a constant rate (another draw, another "
        "order). Rows of role source are that pre-training's own test accuracy, with rate '-' and seed 0. "
        "checkpoint_fraction is of P's pre-training, so that the two can be laid side by side.",
        (
            Column("role", "-", "a target, or source", values=(*TARGETS, SOURCE)),
            CHECKPOINT,
            CHECKPOINT_FRACTION,
            Column("rate", "-", "rate of fine-tuning; '-' for the source", values=(*RATES, "-")),
            SEED,
            SPLIT,
            METRIC,
            VALUE,
        ),
    ),
    Table(
        "checkpoints",
        "behind_last",
        "How far a checkpoint is behind the last one: mean over seeds of the last's test metric minus its "
        "own, each at its better rate, in points (AUC times 100), with a 95 % interval from the noise pooled "
        "over pre-trained checkpoints.",
        (
            ROLE,
            CHECKPOINT,
            CHECKPOINT_FRACTION,
            Column("rate", "-", "the checkpoint's better rate, by mean dev metric", values=RATES),
            Column("n", "seeds", "seeds that both have", "integer", low=1),
            Column("value", "points", "the last's mean minus this one's", "number"),
            Column("low", "points", "lower end of the interval; NaN with one seed", "number"),
            Column("high", "points", "upper end of the interval; NaN with one seed", "number"),
        ),
        measured=("rate", "n", "value", "low", "high"),
    ),
    Table(
        "checkpoints",
        "saturation",
        "Target on source accuracy over pre-trained checkpoints, mean over seeds at the better rate, fitted "
        "by a constant, a line, and a power law that saturates: ceiling - scale (1 - source / 100) ^ "
        "exponent. In points (AUC times 100); 95 % intervals from a bootstrap of the residuals.",
        (
            ROLE,
            Column("model", "-", "what was fitted", values=("constant", "line", "power law")),
            Column(
                "metric",
                "-",
                "points (checkpoints fitted), aicc, weight (Akaike's), ceiling, exponent, slope (at the "
                "highest source accuracy), stops_paying (source accuracy from which the slope is small)",
                values=("points", "aicc", "weight", "ceiling", "exponent", "slope", "stops_paying"),
            ),
            Column("value", "by metric", "points, points per point, or percent; NaN if undefined", "number"),
            Column("low", "by metric", "lower end of the interval; NaN where there is none", "number"),
            Column("high", "by metric", "upper end of the interval; NaN where there is none", "number"),
        ),
        measured=("value", "low", "high"),
    ),
    Table(
        "checkpoints",
        "saturation_curve",
        "The fits of saturation as curves, with 95 % bands, over the range of source accuracy.",
        (
            ROLE,
            Column("model", "-", "what was fitted", values=("constant", "line", "power law")),
            Column("source", "percent", "source accuracy", "number", low=0.0, high=100.0),
            Column("value", "by role", "fitted accuracy in percent, or AUC 0-1", "number"),
            Column("low", "by role", "lower end of the band", "number"),
            Column("high", "by role", "upper end of the band", "number"),
        ),
        measured=("value", "low", "high"),
    ),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (*_FEATURE_REUSE, *_DIFFERENCES, *_LOSS_LANDSCAPE, *_CRITICALITY, *_CHECKPOINTS)
}


def of_question(question: str) -> dict[str, Table]:
    """The tables of one question by name. Raises TlbookError for a question that does not exist."""
    if question not in QUESTIONS:
        raise TlbookError(f"no question is called {question!r}; the questions are {', '.join(QUESTIONS)}")
    return {name: table for name, table in TABLES.items() if table.question == question}


def check(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` unchanged if it is a valid table `name`; raise TlbookError with one sentence if its
    columns differ, a column holds what it may not, or two rows have the same keys."""
    if name not in TABLES:
        raise TlbookError(f"no table is called {name!r}; the tables are {', '.join(TABLES)}")
    table = TABLES[name]
    if list(frame.columns) != table.names:
        raise TlbookError(
            f"table {name} has the columns {_listed(frame.columns)}; it needs {_listed(table.names)}"
        )
    for column in table.columns:
        _check_column(table, column, frame[column.name])
    if {"metric", "value"} <= set(table.names) and table.name != "convergence":
        _check_metrics(name, frame)
    twice = frame[frame.duplicated(table.keys)]
    if len(twice):
        raise TlbookError(
            f"table {name} has two rows for {_listed(f'{k}={twice.iloc[0][k]}' for k in table.keys)}"
        )
    return frame


def _listed(things: Iterable) -> str:
    return ", ".join(str(thing) for thing in things)


def _check_column(table: Table, column: Column, found: pd.Series) -> None:
    """One column against its kind, its allowed texts and its range; only measured numbers may be NaN."""
    where = f"column {column.name} of table {table.name}"
    if column.name not in table.measured and found.isna().any():
        raise TlbookError(f"{where} has a missing value; only {_listed(table.measured)} may be missing")
    if column.kind == "text":
        _check_texts(where, column, found)
        return
    if not pd.api.types.is_numeric_dtype(found) or pd.api.types.is_bool_dtype(found):
        raise TlbookError(f"{where} holds {found.dtype}; it needs numbers")
    if column.kind == "integer" and (found.isna() | (found % 1 != 0)).any():
        raise TlbookError(f"{where} needs whole numbers")
    outside = found[(found < column.low) | (found > column.high)]
    if len(outside):
        raise TlbookError(
            f"{where} holds {outside.iloc[0]:g}; it must lie in {column.low:g} to {column.high:g}"
        )


def _check_texts(where: str, column: Column, found: pd.Series) -> None:
    other = [entry for entry in found.tolist() if not isinstance(entry, str)]
    if other:
        raise TlbookError(f"{where} holds {other[0]!r}; it needs text")
    unknown = sorted(set(found) - set(column.values)) if column.values else []
    if unknown:
        raise TlbookError(f"{where} holds {unknown[0]!r}; valid are {_listed(column.values)}")


def _check_metrics(name: str, frame: pd.DataFrame) -> None:
    """Each `value` inside the range of its `metric`."""
    for metric, (low, high) in METRIC_RANGES.items():
        values = frame.loc[frame["metric"] == metric, "value"]
        outside = values[(values < low) | (values > high)]
        if len(outside):
            raise TlbookError(
                f"table {name} holds {metric} {outside.iloc[0]:g}; {metric} lies in {low:g} to {high:g}"
            )
