"""Made-up tables of question 4, in which what a figure must show is known beforehand."""

import itertools

import pandas as pd
from made_up import METRIC, ROLES, SEEDS

from tlbook import questions, tables
from tlbook.questions.criticality.method.criticality import network_criticality

MODULES = ("conv1", "layer1.0", "layer2.0", "layer3.0", "layer4.0", "fc")
KINDS = (("P-T", "low"), ("P-T", "high"), ("RI-T", "low"), ("RI-T", "high"))
WHOLE = {"train": 95.0, "test": 80.0}  # of the network itself
LOST = dict(zip(MODULES, (4.0, 0.0, 1.0, 2.0, 8.0, 30.0), strict=True))  # P-T; RI-T twice that
EPOCHS = (0, 4, 16)  # at the k-th, (k + 1)-th of what epoch 0 loses
FACTORS = (-0.5, -0.25, 0.0, 0.25, 0.5)
FRACTIONS = (0.0, 0.5, 1.0)
MU = dict(zip(MODULES, (0.0, 0.0, 10.0, 100.0, 1000.0, 50.0), strict=True))  # P-T, raw; RI-T ten times that


def _runs(roles, kinds=KINDS):
    for role, (init, rate), seed in itertools.product(roles, kinds, SEEDS):
        unit = 0.01 if METRIC[role] == "auc" else 1.0
        yield {"role": role, "init": init, "rate": rate, "seed": seed}, unit


def _frame(name, rows):
    return tables.check(questions.tables()[name], pd.DataFrame(rows)[questions.tables()[name].names])


def rewind(roles=ROLES) -> pd.DataFrame:
    """The network itself at `WHOLE` (train higher by the seed), modules and stages below by `LOST` and the
    seed; drawn anew all lose 50 points."""
    rows = []
    for keys, unit in _runs(roles):
        metric = METRIC[keys["role"]]

        def row(module, split, value, method="rewind", epoch=0, keys=keys, unit=unit, metric=metric):
            at = {"module": module, "method": method, "to_epoch": epoch, "split": split}
            return keys | at | {"metric": metric, "value": unit * value}

        rows += [row("none", "train", WHOLE["train"] + keys["seed"]), row("none", "test", WHOLE["test"])]
        for module in (*MODULES, "layer1", "layer2", "layer3", "layer4"):
            lost = LOST[module if module in LOST else f"{module}.0"]
            lost *= 2 if keys["init"] == "RI-T" else 1
            rows.append(row(module, "test", WHOLE["test"] - 50, "redraw"))
            rows += [
                row(module, "test", WHOLE["test"] - (lost + keys["seed"] - 1) / (k + 1), epoch=epoch)
                for k, epoch in enumerate(EPOCHS)
            ]
    return _frame("rewind", rows)


def paths(roles=ROLES) -> pd.DataFrame:
    """100 times the fraction, less the noise's size: 10 points for each 0.25; one more factor at the end."""
    rows = []
    for keys, unit in _runs(roles, (("P-T", "low"), ("RI-T", "high"))):
        for module, path, split in itertools.product(MODULES, ("direct", "optimisation"), ("train", "test")):
            if keys["seed"] and (module != "conv1" or split == "test"):
                continue
            for fraction in FRACTIONS:
                for noise in (*FACTORS, *((-0.125, 0.125) if fraction == 1 and path == "direct" else ())):
                    at = {"module": module, "path": path, "fraction": fraction, "distance": 3 * fraction}
                    value = unit * (50 + 50 * fraction - 40 * abs(noise))
                    rows.append(
                        keys
                        | at
                        | {"noise": noise, "split": split, "metric": METRIC[keys["role"]], "value": value}
                    )
    return _frame("paths", rows)


def criticality(roles=ROLES) -> pd.DataFrame:
    """`MU` times seed + 1, RI-T ten times that; relative twice the raw one."""
    rows = []
    for keys, _ in _runs(roles):
        for module, path, norm in itertools.product(MODULES, ("direct", "optimisation"), ("raw", "relative")):
            value = MU[module] * (keys["seed"] + 1) * (10 if keys["init"] == "RI-T" else 1)
            value *= 2 if norm == "relative" else 1
            found = {"value": value, "lowest": value, "highest": value, "fraction": 1.0, "noise": 0.1}
            fixed = {"epsilon": 0.05, "images": 40, "draws": 2}
            rows.append(keys | {"module": module, "path": path, "norm": norm} | found | fixed)
    return _frame("criticality", rows)


def every_table(roles=ROLES) -> dict[str, pd.DataFrame]:
    """All tables of question 4."""
    made = {"rewind": rewind(roles), "paths": paths(roles), "criticality": criticality(roles)}
    network = network_criticality(made["criticality"], made["rewind"])
    return made | {"network_criticality": tables.check(questions.tables()["network_criticality"], network)}
