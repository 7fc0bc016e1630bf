"""Made-up tables of question 1, in which what a figure must show is known beforehand."""

import numpy as np
import pandas as pd

from tlbook import scales
from tlbook.questions.controls.method import speed
from tlbook.questions.controls.method.gain import gain
from tlbook.questions.feature_reuse.method import convergence

ROLES = scales.TARGETS
METRIC = scales.get("laptop").metric
EPOCHS = (0, 1, 2, 5, 10)
BLOCK_SIZES = ("*", "1", "8", "32")
SEEDS = (0, 1, 2)

# Where each kind of run ends, in percent. On test the high rate is better; on dev, which decides, the low.
TEST = {("P-T", "low"): 80.0, ("P-T", "high"): 90.0, ("RI-T", "low"): 60.0, ("RI-T", "high"): 70.0}
DEV = {("P-T", "low"): 75.0, ("P-T", "high"): 65.0, ("RI-T", "low"): 55.0, ("RI-T", "high"): 45.0}


def _kinds(roles):
    for role in roles:
        unit = 0.01 if METRIC[role] == "auc" else 1.0
        for init, rate in TEST:
            for seed in SEEDS:
                yield {"role": role, "init": init, "rate": rate, "seed": seed}, METRIC[role], unit


def learning_curves(roles=ROLES) -> pd.DataFrame:
    """Straight lines from 10 to `TEST` and `DEV`; a seed above and one below by a point."""
    rows = []
    for keys, metric, unit in _kinds(roles):
        for epoch in EPOCHS:
            for split, ends in (("train", TEST), ("dev", DEV), ("test", TEST)):
                end = ends[keys["init"], keys["rate"]] + keys["seed"] - 1
                value = unit * (10 + (end - 10) * epoch / EPOCHS[-1])
                rows.append(keys | {"epoch": epoch, "split": split, "metric": metric, "value": value})
    return pd.DataFrame(rows)


def block_shuffle(roles=ROLES) -> pd.DataFrame:
    """Every block size ends at `TEST` and `DEV` times its share (* 0.3, 1 0.5, 8 0.8, 32 1), RI-T's '*' at
    0.9 of that. The mean training metric is 95 for P-T and 85 for RI-T."""
    rows = []
    for keys, metric, unit in _kinds(roles):
        kind = keys["init"], keys["rate"]
        for size, share in zip(BLOCK_SIZES, (0.3, 0.5, 0.8, 1.0), strict=True):
            fraction = 0.0 if size == "*" else int(size) / 32
            share *= 0.9 if size == "*" and kind[0] == "RI-T" else 1.0
            at = keys | {"block_size": size, "block_fraction": fraction}
            speed = 95.0 if kind[0] == "P-T" else 85.0
            measured = {
                ("test", metric): share * TEST[kind],
                ("dev", metric): share * DEV[kind],
                ("train", metric): 99.0,
                ("train", f"mean_{metric}"): speed,
            }
            for (split, name), value in measured.items():
                rows.append(at | {"split": split, "metric": name, "value": unit * value})
    return pd.DataFrame(rows)


def domains(roles=ROLES) -> pd.DataFrame:
    """A source of ten classes and targets of four, in no order."""
    classes = {"source": 10} | dict.fromkeys(roles, 4)
    counts = {"train": 300, "dev": 30, "test": 330, "chance": 25.0, "metric": "accuracy"}
    rows = [{"role": r, "dataset": "made/up", "classes": n} | counts for r, n in classes.items()]
    return pd.DataFrame(rows)[::-1]


def tables(roles=ROLES) -> dict[str, pd.DataFrame]:
    """All tables of question 1."""
    curves = learning_curves(roles)
    images = dict.fromkeys(roles, 100)
    return {
        "learning_curves": curves,
        "block_shuffle": block_shuffle(roles),
        "convergence": convergence(curves, METRIC, images),
        "domains": domains(roles),
    }


def provenance(roles=ROLES, **changes) -> dict:
    """What is noted with a result, as far as a page reads it."""
    made = {
        "targets": list(roles),
        "seeds": list(SEEDS),
        "commit": "0123456789abcdef",
        "clean": True,
        "runs": 96,
        "training_seconds": 600.0,
        "device": ["cpu (a processor), torch 2"],
        "date": "2026-11-24T12:00:00+00:00",
    }
    return made | changes


def controls(roles=ROLES) -> dict[str, pd.DataFrame]:
    """All tables of question 1's controls. The redrawn inits end half way between RI-T's 60 and P-T's 80, all
    at the low rate; a role is 0.5 farther from the source than the one before, and a smaller block 1."""
    plain = learning_curves(roles)
    curves = _redrawn(plain[plain.rate == "low"])
    shuffled = block_shuffle(roles)
    shuffled = shuffled[(shuffled.rate == "low") & shuffled.block_size.isin(("*", "8"))]
    images = dict.fromkeys(roles, 100)
    few = [_on_images(plain, count) for count in (25, 50, 100, 200)]
    return {
        "control_curves": curves,
        "control_shuffle": _redrawn(shuffled),
        "time_to_level": speed.times(curves, METRIC, images),
        "lead": speed.leads(curves, METRIC),
        "domain_distance": domain_distance(roles),
        "gain": gain(plain, block_shuffle(roles), 32),
        "few_images": pd.concat([at_end.drop(columns="epoch") for at_end, _ in few], ignore_index=True),
        "few_images_time": pd.concat([times for _, times in few], ignore_index=True),
    }


def _redrawn(frame) -> pd.DataFrame:
    """A table of P-T and RI-T with MeanVar-T and Permuted-T half way between them."""
    keys = [name for name in frame.columns if name not in ("init", "value")]
    half = frame.groupby(keys, as_index=False).value.mean()
    both = [half.assign(init=init)[frame.columns] for init in scales.CONTROLS]
    return pd.concat([frame, *both], ignore_index=True)


def _on_images(curves, count) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What few_images and few_images_time hold of one number of images: all is better with more of them."""
    own = curves[curves.rate == curves.init.map({"P-T": "low", "RI-T": "high"})]
    own = own.assign(value=own.value * (0.7 + count / 1000))
    times = speed.times(own, METRIC, dict.fromkeys(set(own.role), count)).assign(images=count)
    training = own[own.split == "train"]
    mean = training.assign(metric="mean_" + training.metric)
    final = pd.concat([own, mean])
    return final[final.epoch == EPOCHS[-1]].assign(images=count), times


def domain_distance(roles=ROLES) -> pd.DataFrame:
    """Fréchet is as much again too large at 10 images; the source is at 0 from itself but for that."""
    rows = []
    for place, role in enumerate(("source", *roles)):
        for size in BLOCK_SIZES if place else ("32",):
            fraction = 0.0 if size == "*" else int(size) / 32
            keys = {"role": role, "block_size": size, "block_fraction": fraction, "normalisation": "run"}
            value = 0.5 * place + (BLOCK_SIZES[::-1].index(size))
            for count in (10, 100) if size == "32" else (100,):
                kernel = {"metric": "kernel", "value": value, "low": value - 0.1, "high": value + 0.1}
                biased = {"metric": "frechet", "value": value + 10 / count, "low": np.nan, "high": np.nan}
                rows += [keys | {"images": count} | distance for distance in (kernel, biased)]
    return pd.DataFrame(rows)
