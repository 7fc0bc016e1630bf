"""Every table that the five questions (and the first one's controls) record: columns, units, meaning.

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
from tlbook.scales import CONTROLS, INITS, RATES, SOURCE, TARGETS

QUESTIONS = ("feature_reuse", "controls", "differences", "loss_landscape", "criticality", "checkpoints")
SPLITS = ("train", "dev", "test")
# Ranges of `value` by the name that stands in `metric`; a name that is missing here is not checked.
METRIC_RANGES = {
    "accuracy": (0.0, 100.0),
    "mean_accuracy": (0.0, 100.0),
    "auc": (0.0, 1.0),
    "mean_auc": (0.0, 1.0),
    "loss": (0.0, float("inf")),
    "mean_loss": (0.0, float("inf")),
    "calibrated_loss": (0.0, float("inf")),
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

ANY_INIT = Column(
    "init",
    "-",
    "P-T, RI-T, or from P's weights redrawn: MeanVar-T (a Gaussian of each tensor's mean and variance) or "
    "Permuted-T (permuted within each tensor)",
    values=(*INITS, *CONTROLS),
)
IMAGES = Column("images", "images", "training images", "integer", low=1)
TIME = (
    Column("unit", "-", "what is counted", values=("epochs", "images")),
    Column("low", "by unit", "the last measured time before; the end where not reached", "number", low=0.0),
    Column("value", "by unit", "the first measured time there; the end where not reached", "number", low=0.0),
    Column("last", "by unit", "the run's end", "number", low=0.0),
    Column("reached", "0 or 1", "1 if the level was reached, 0 if not", "integer", low=0, high=1),
)

_CONTROLS = (
    Table(
        "controls",
        "control_curves",
        "Unshuffled, augmented runs of four inits, each at its better rate by dev (the controls train at "
        "one), epoch by epoch; measured as learning_curves.",
        (ROLE, ANY_INIT, RATE, SEED, EPOCH, SPLIT, METRIC, VALUE),
    ),
    Table(
        "controls",
        "control_shuffle",
        "Runs of four inits without augmentation at their final epoch, by block size, each at its better "
        "rate by dev; measured as block_shuffle.",
        (ROLE, ANY_INIT, RATE, SEED, BLOCK_SIZE, BLOCK_FRACTION, SPLIT, METRIC, VALUE),
    ),
    Table(
        "controls",
        "time_to_level",
        "When each run of control_curves first reached RI-T's mean final test metric: between low and value. "
        "A run that never did has its end in both, and reached 0.",
        (ROLE, ANY_INIT, RATE, SEED, *TIME),
        measured=("low", "value", "last", "reached"),
    ),
    Table(
        "controls",
        "lead",
        "How far each run of control_curves is ahead of the RI-T of its seed.",
        (
            ROLE,
            ANY_INIT,
            RATE,
            SEED,
            SPLIT,
            Column(
                "over",
                "-",
                "the final metric (end), or the mean over a run (whole) or its first tenth: the area between "
                "the curves / epochs",
                values=("end", "whole", "tenth"),
            ),
            Column("value", "points", "points of accuracy, or of 100 AUC", "number"),
        ),
    ),
    Table(
        "controls",
        "domain_distance",
        "How far target images are from the source's (test sets) in what reaches P's fc. Role source is "
        "other images of the source. kernel: squared maximum mean discrepancy under a cubic kernel, "
        "unbiased; frechet: between fitted Gaussians, biased, shown for comparison.",
        (
            Column("role", "-", "a target, or source", values=(*TARGETS, SOURCE)),
            BLOCK_SIZE,
            BLOCK_FRACTION,
            Column(
                "normalisation",
                "-",
                "of the target's pixels: as its runs see them (run), or by the source's values (source)",
                values=("run", "source"),
            ),
            Column("images", "images", "images of the target, and at least as many of the source", "integer",
                   low=3),
            Column("metric", "-", "which distance", values=("kernel", "frechet")),
            Column("value", "-", "the distance; an unbiased one may be below 0", "number"),
            Column("low", "-", "low end of 95 % over images (jackknife); NaN for frechet", "number"),
            Column("high", "-", "high end", "number"),
        ),
        measured=("value", "low", "high"),
    ),
    Table(
        "controls",
        "gain",
        "The final test metric of P-T minus RI-T's, by seed, each at its better rate by dev.",
        (
            ROLE,
            Column("figure", "-", "2 (augmented, unshuffled) or 3 (by block size)", values=("2", "3")),
            BLOCK_SIZE,
            BLOCK_FRACTION,
            SEED,
            Column("metric", "-", "points, or relative to P-T", values=("points", "relative")),
            Column("value", "by metric", "points of accuracy or of 100 AUC; or percent", "number"),
        ),
    ),
    Table(
        "controls",
        "few_images",
        "Unshuffled, augmented runs at their final epoch, by number of training images, all with as many "
        "updates; besides the metrics, mean_accuracy and mean_auc on split train are optimisation speed. dev "
        "and test are the same at every number.",
        (ROLE, INIT, RATE, SEED, IMAGES, SPLIT, METRIC, VALUE),
    ),
    Table(
        "controls",
        "few_images_time",
        "When each run of few_images first reached the mean final test metric of RI-T with as many images; "
        "as time_to_level, images counted with repetition.",
        (ROLE, INIT, RATE, SEED, IMAGES, *TIME),
        measured=("low", "value", "last", "reached"),
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
        (
            *PAIR,
            Column(
                "metric",
                "-",
                "shared, shared_low, shared_high, kappa, kappa_low, kappa_high (95 % over examples), "
                "shared_expected (if errors were independent), agreement, same_wrong (of shared mistakes, "
                "those with the same answer), and the shares both_right, only_first_wrong, "
                "only_second_wrong, both_wrong",
            ),
            VALUE,
        ),
    ),
    Table(
        "differences",
        "mistakes_by_class",
        "The same on the test examples of one class (several labels: the decisions on one label), at the "
        "paper's rates. NaN where a measure is undefined.",
        (
            *PAIR,
            Column("label", "-", "the class, or the label"),
            Column(
                "metric",
                "-",
                "shared, kappa; wrong and wrong_b: the share that each model gets wrong",
                values=("shared", "kappa", "wrong", "wrong_b"),
            ),
            Column("value", "fraction", "as in mistakes", "number", low=-1.0, high=1.0),
        ),
    ),
    Table(
        "differences",
        "difficulty_test",
        "Are the examples that only P-T gets wrong harder than those that only RI-T gets wrong? By pair, at "
        "the paper's rates.",
        (
            *PAIR,
            Column(
                "judges",
                "-",
                "which models outside the comparison say how hard an example is",
                values=("all", *INITS),
            ),
            Column(
                "metric",
                "-",
                "difference (of mean difficulty), difference_low and _high (95 %, bootstrap over examples), "
                "cliffs_delta (size of the effect, -1 to 1), p_value (Mann-Whitney, two-sided)",
                values=("difference", "difference_low", "difference_high", "cliffs_delta", "p_value"),
            ),
            Column("value", "by metric", "NaN where a set is empty", "number", low=-1.0, high=1.0),
        ),
    ),
    Table(
        "differences",
        "mistake_examples",
        "A few test examples of each set of a P-T & RI-T pair, evenly spread over the set; never pixels.",
        (
            *PAIR,
            Column(
                "examples",
                "-",
                "which set",
                values=("only_first_wrong", "only_second_wrong", "both_wrong", "both_right"),
            ),
            Column("place", "-", "counts the examples shown of a set", "integer", low=0),
            Column("dataset", "-", "name of the data set"),
            Column("path", "-", "the file, relative to the data set's folder"),
            Column("digest", "-", "SHA-256 of the file"),
            Column("answer", "-", "the true class; with several labels, the label and whether it holds"),
            Column("prediction", "-", "what the first model says"),
            Column("prediction_b", "-", "what the second model says"),
            Column("confidence", "fraction", "the first model's probability", "number", low=0.0, high=1.0),
            Column("confidence_b", "fraction", "the second model's", "number", low=0.0, high=1.0),
            Column("difficulty", "fraction", "as in mistake_difficulty", "number", low=0.0, high=1.0),
        ),
        measured=(
            "dataset", "path", "digest", "answer", "prediction", "prediction_b", "confidence",
            "confidence_b", "difficulty",
        ),  # fmt: skip
    ),
    Table(
        "differences",
        "feature_shapes",
        "What each module puts out for an image, and on how many test images models were compared.",
        (
            ROLE,
            MODULE,
            Column("channels", "channels", "channels of the output", "integer", low=1),
            Column("positions", "positions", "positions of the feature map; 1 for fc", "integer", low=1),
            Column("features", "features", "channels x positions, as `cka` sees them", "integer", low=1),
            Column("images", "images", "test images compared on", "integer", low=1),
            Column("positions_used", "rows", "rows that `cka_positions` sees", "integer", low=1),
        ),
        measured=("channels", "positions", "features", "images", "positions_used"),
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
            Column(
                "metric",
                "-",
                "cka (linear, plain, whole feature maps), cka_debiased, cka_positions (a row a position), "
                "cka_null and cka_null_high (mean and largest of plain CKA if the examples are permuted), "
                "neighbours (mean share of common nearest neighbours), neighbours_null (by chance); NaN for "
                "constant features. Other modules' pairs (at the paper's rates): cka and cka_debiased",
            ),
            VALUE,
        ),
    ),
    Table(
        "differences",
        "distance",
        "l2 in parameter space over modules both have, by epoch. module 'all': metric l2 is the root of the "
        "summed squares, l2_sum the sum of the modules' l2; 'body': the same without fc. l2_per_root is per "
        "root of the number of weights. Modules at the last epoch, and at the paper's rates at every one. "
        "Where runs are of different lengths, the last row compares their ends.",
        (
            *PAIR,
            EPOCH,
            MODULE,
            Column("metric", "-", "l2, l2_sum, l2_relative (to P's norm), l2_per_root"),
            VALUE,
        ),
    ),
)

PAIRING = Column("pairing", "-", "what the two models share")
ALPHA = Column("alpha", "-", "place on the line: 0 the first model, 1 the second", "number")
_BARRIER = Column(
    "quantity", "-", "what of the barrier", values=("height", "place", "width", "lowest")
)  # fmt: skip
_DELTA = Column("delta", "fraction", "length of the noise / mean norm of the two", "number", low=0.0)
_BASIN = Column(
    "quantity",
    "-",
    "nats, but for distance",
    values=(
        "distance", "mean", "spread", "noise_rise", "beyond_rise", "epsilon_low", "epsilon_high",
    ),
)  # fmt: skip

_LOSS_LANDSCAPE = (
    Table(
        "loss_landscape",
        "interpolation",
        "Metrics along (1-alpha) first + alpha second (Figures 4 and 16). pairing says what the two share: "
        "independent (nothing, or P), same_init (same random weights, other order), same_run (two epochs "
        "of one "
        "run), and the controls order, head, rate, other_source. calibrated_loss is the test loss of logits "
        "divided by the temperature that suits dev best.",
        (*PAIR, PAIRING, _kept(""), _kept("_b"), ALPHA, SPLIT, METRIC, VALUE),
    ),
    Table(
        "loss_landscape",
        "barriers",
        "What stands in the way on each line of interpolation, 0 <= alpha <= 1. height: the largest drop "
        "below the straight line between the two ends (rise, for a loss), in the metric's unit; place: the "
        "alpha where it stands; width: the length of alpha over which the drop exceeds half of that; lowest: "
        "the worst value.",
        (*PAIR, PAIRING, _kept(""), _kept("_b"), SPLIT, METRIC, _BARRIER, VALUE),
    ),
    Table(
        "loss_landscape",
        "basins",
        "The paper's definition of a basin for the segment between two final models, in training loss. "
        "mean and spread (mean absolute deviation) of the loss on the segment; noise_rise and beyond_rise "
        "over that mean after noise at the ends and past them; the pair is in one basin for each epsilon "
        "from epsilon_low to epsilon_high. distance is that of the two models (l2).",
        (*PAIR, PAIRING, _DELTA, _BASIN, VALUE),
    ),
    Table(
        "loss_landscape",
        "around",
        "Training loss after a step from either end as long as a part of the line between two final models: "
        "on along the line, or in random directions (mean). Fraction 0 is the end itself.",
        (
            *PAIR,
            PAIRING,
            Column("direction", "-", "along the line, past its end; or random", values=("line", "random")),
            Column("end", "-", "from which model", values=("first", "second")),
            Column("fraction", "fraction", "length of the step / distance of the two", "number", low=0.0),
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

_LOSS_LANDSCAPE += (
    Table(
        "loss_landscape",
        "twins",
        "Flatness of a model and of its rescaled twin, which computes the same with other weights.",
        (
            ROLE,
            INIT,
            RATE,
            SEED,
            Column("normalisation", "-", "raw or filter", values=("raw", "filter")),
            Column("factor", "-", "of the rescaling; 1 is the model itself", "number", low=0.0),
            Column("distance", "relative", "length of the step; 0 is the model itself", "number", low=0.0),
            SPLIT,
            METRIC,
            VALUE,
        ),
    ),
    Table(
        "loss_landscape",
        "alignment",
        "Lines between two final models: raw, with the second one's units permuted to match the first's "
        "(aligned), and both with their statistics renormalised (raw_repaired, repaired).",
        (
            *PAIR,
            Column("method", "-", "how the second model was changed",
                   values=("raw", "raw_repaired", "aligned", "repaired")),
            ALPHA,
            SPLIT,
            METRIC,
            VALUE,
        ),
    ),
    Table(
        "loss_landscape",
        "soups",
        "Averages of final weights (soup) beside the mean of their members, the member best on dev, and the "
        "members' averaged probabilities (ensemble).",
        (
            ROLE,
            INIT,
            Column("rate", "-", "the members' rate; both where it is what they differ in",
                   values=(*RATES, "both")),
            PAIRING,
            Column("left_out", "-", "the seed left out; '-' for none"),
            Column("members", "models", "how many are averaged", "integer", low=2),
            Column("kind", "-", "what was measured", values=("soup", "members", "best", "ensemble")),
            SPLIT,
            METRIC,
            VALUE,
        ),
        measured=("members", "value"),
    ),
    Table(
        "loss_landscape",
        "predictions",
        "What models on a line say to a few test images, first those on which they change their minds.",
        (
            *PAIR,
            ALPHA,
            Column("path", "-", "the image's path in its data set"),
            Column("sha256", "-", "digest of the image's file"),
            Column("label", "-", "what is right"),
            Column("prediction", "-", "the class or finding rated highest"),
            Column("confidence", "fraction", "its probability", "number", low=0.0, high=1.0),
        ),
        measured=("sha256", "label", "prediction", "confidence"),
    ),
)

_CRITICALITY = (
    Table(
        "criticality",
        "rewind",
        "Final models with one module, or a whole stage, set back (Figure 5); module 'none' is the model "
        "itself, the only one on train. redraw is a mean over draws.",
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
    Table(
        "criticality",
        "criticality",
        "Module criticality (Chatterji, Neyshabur & Sedghi 2020): the smallest distance^2 / noise^2 on a "
        "path from the initial to the final value at which the training error, mean over draws of the noise, "
        "is at most epsilon above the final model's. relative: distance and noise of each weight tensor in "
        "units of its root mean square at the end, biases without noise. Noise is searched from 2^-12 to 1 "
        "in steps of 2^(1/4), and 0 is a module that may go all the way back. A diverged run has none (NaN).",
        (
            ROLE,
            INIT,
            RATE,
            SEED,
            MODULE,
            Column("path", "-", "direct or optimisation", values=("direct", "optimisation")),
            Column("norm", "-", "raw or relative", values=("raw", "relative")),
            Column("value", "squared ratio", "distance^2 / noise^2 at the best point", "number", low=0.0),
            Column("lowest", "squared ratio", "the lowest by a single draw at that point", "number", low=0.0),
            Column("highest", "squared ratio", "the highest by a single draw there", "number", low=0.0),
            Column("fraction", "fraction", "the best point's place on the path", "number", low=0.0, high=1.0),
            Column("noise", "l2 or relative", "the noise borne there", "number", low=0.0),
            Column("epsilon", "fraction", "what the training error may rise by", "number", low=0.0, high=1.0),
            Column("images", "images", "training images measured", "integer", low=1),
            Column("draws", "draws", "draws of the noise", "integer", low=1),
        ),
        measured=("value", "lowest", "highest", "fraction", "noise", "epsilon", "images", "draws"),
    ),
    Table(
        "criticality",
        "network_criticality",
        "The sum of a network's module criticalities, beside its generalisation gap.",
        (
            ROLE,
            INIT,
            RATE,
            SEED,
            Column("path", "-", "direct or optimisation", values=("direct", "optimisation")),
            Column("norm", "-", "raw or relative", values=("raw", "relative")),
            Column("value", "squared ratio", "sum over modules", "number", low=0.0),
            Column("gap", "percent or AUC", "training minus test metric at the end", "number"),
        ),
        measured=("value", "gap"),
    ),
)

_FITTED = Column("model", "-", "what was fitted", values=("constant", "line", "power law"))
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
        "exponent. In points (AUC times 100); 95 % intervals from a parametric bootstrap.",
        (
            ROLE,
            _FITTED,
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
            _FITTED,
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
    for table in (*_FEATURE_REUSE, *_CONTROLS, *_DIFFERENCES, *_LOSS_LANDSCAPE, *_CRITICALITY, *_CHECKPOINTS)
}


def of_question(question: str) -> dict[str, Table]:
    """The tables of one question by name. Raises TlbookError for a question that does not exist."""
    if question not in QUESTIONS:
        raise TlbookError(f"no question is called {question!r}; the questions are {', '.join(QUESTIONS)}")
    return {name: table for name, table in TABLES.items() if table.question == question}


def in_order(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """A table's rows sorted by its keys, roles as in the book: as records hold it, and as readers take it."""
    place = {role: number for number, role in enumerate((*TARGETS, SOURCE))}
    return frame.sort_values(
        TABLES[name].keys, key=lambda c: c.map(place) if c.name == "role" else c, ignore_index=True
    )


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
