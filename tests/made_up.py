"""Made-up tables of question 1, in which what a figure must show is known beforehand."""

import pandas as pd

from tlbook import scales
from tlbook.analysis.convergence import convergence

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
