"""Made-up tables of question 3, in which what a figure must show is known beforehand."""

import itertools

import numpy as np
import pandas as pd
from made_up import METRIC

from tlbook.questions.loss_landscape.method.barrier import barriers

SEEDS = (0, 1, 2)
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
RATE = {"P-T": "low", "RI-T": "high"}
END = {"P-T": 80.0, "RI-T": 60.0}
# What is left in the middle of a line, by kind of pair: the ends are straight lines down to it.
MIDDLE = {("P-T", "P-T"): 81.0, ("P-T", "RI-T"): 20.0, ("RI-T", "RI-T"): 25.0}
SAME_INIT, CONTROL = 40.0, {"order": 80.0, "head": 79.0, "rate": 70.0, "other_source": 20.0}
PAIR = ["init", "rate", "seed", "init_b", "rate_b", "seed_b"]


def _pairs():
    """(pairing, checkpoints, pair, middle) of every line."""
    final = ("final", "final")
    for (init, init_b), middle in MIDDLE.items():
        same = init == init_b
        seeds = itertools.combinations(SEEDS, 2) if same else [(0, 1), (1, 2), (2, 0)]
        for seed, seed_b in seeds:
            pair = (init, RATE[init], seed, init_b, RATE[init_b], seed_b)
            yield "independent", final, pair, middle
            yield "independent", ("best", "best"), pair, middle + 1
            if init == init_b == "RI-T":
                yield "same_init", final, pair, SAME_INIT
    for pairing, middle in CONTROL.items():
        for seed, seed_b in itertools.combinations(SEEDS, 2):
            rate_b = "high" if pairing == "rate" else "low"
            other = seed if pairing in ("rate", "other_source") else seed_b
            pair = ("P-T", "low", seed, "P-T", rate_b, other)
            if pairing in ("order", "head") or seed_b == (seed + 1) % 3:
                yield pairing, final, pair, middle
    for init, seed in itertools.product(RATE, SEEDS):
        yield "same_run", ("best", "final"), (init, RATE[init], seed) * 2, END[init]


def interpolation(roles) -> pd.DataFrame:
    """Straight lines from the ends down to `MIDDLE`, seeds a tenth of a point apart; AUC is a hundredth."""
    rows = []
    for role, (pairing, at, pair, middle) in itertools.product(roles, _pairs()):
        if role != "xray" and "best" in at:
            continue
        unit = 0.01 if METRIC[role] == "auc" else 1.0
        ends = END[pair[0]], END[pair[3]]
        for alpha in ALPHAS:
            value = np.interp(alpha, [0, 0.5, 1], [ends[0], middle, ends[1]]) + 0.1 * (pair[2] - 1)
            keys = (role, *pair, pairing, *at, alpha)
            rows.append((*keys, "test", METRIC[role], unit * value))
            for split, name in (("test", "loss"), ("test", "calibrated_loss"), ("train", "loss")):
                rows.append((*keys, split, name, 2.0 - value / 100))
    names = ["role", *PAIR, "pairing", "checkpoint", "checkpoint_b", "alpha", "split", "metric", "value"]
    return pd.DataFrame(rows, columns=names)


def _final(roles) -> list[tuple]:
    return [
        (role, *pair, pairing)
        for role, (pairing, at, pair, _) in itertools.product(roles, _pairs())
        if at == ("final", "final")
    ]


def _frame(rows, *names) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["role", *PAIR, "pairing", *names])


def basins(roles) -> pd.DataFrame:
    """Two P-T are in one basin at delta 0.5 and not at 0.1; no other pair is at all."""
    rows = []
    for key, delta in itertools.product(_final(roles), (0.1, 0.5)):
        near = key[1] == key[4] == "P-T" and key[-1] in ("independent", "order", "head")
        rise = 0.2 if near and delta == 0.5 else -0.2
        found = {"distance": 5.0, "mean": 0.5, "spread": 0.05, "noise_rise": rise, "beyond_rise": rise}
        found |= {"epsilon_low": 0.05, "epsilon_high": rise / 2}
        rows += [(*key, delta, name, value) for name, value in found.items()]
    return _frame(rows, "delta", "quantity", "value")


def around(roles) -> pd.DataFrame:
    """On along the line the loss rises by 2 a length, in random directions by 1."""
    rows = []
    for key in _final(roles):
        if key[-1] == "independent" and key[1] == key[4]:
            for direction, end, fraction in itertools.product(
                ("line", "random"), ("first", "second"), (0.0, 0.25, 0.5)
            ):
                value = 0.5 + (2 if direction == "line" else 1) * fraction
                rows.append((*key, direction, end, fraction, "train", "loss", value))
    return _frame(rows, "direction", "end", "fraction", "split", "metric", "value")


def flatness(roles) -> pd.DataFrame:
    """RI-T has the higher loss and rises by 3 a unit of distance, P-T by 1; filters twice that."""
    rows = []
    for role, init, seed, form, distance in itertools.product(
        roles, RATE, SEEDS, ("raw", "filter"), (0.0, 0.1, 0.5)
    ):
        slope = (3 if init == "RI-T" else 1) * (2 if form == "filter" else 1)
        value = (0.9 if init == "RI-T" else 0.1) + slope * distance + 0.01 * seed
        rows.append((role, init, RATE[init], seed, form, distance, "train", "loss", value))
    names = ["role", "init", "rate", "seed", "normalisation", "distance", "split", "metric", "value"]
    return pd.DataFrame(rows, columns=names)


def twins(roles) -> pd.DataFrame:
    """The twin rises ten times as much in raw steps, and the same by filter."""
    model = flatness(roles).query("seed == 0").assign(factor=1.0)
    steeper = (model.normalisation == "raw") & (model.distance > 0)
    own = model.init.map({"P-T": 0.1, "RI-T": 0.9})
    value = model.value.where(~steeper, own + 10 * (model.value - own))
    names = list(model.columns)
    names = [*names[:5], "factor", *names[5:-1]]
    return pd.concat([model, model.assign(factor=4.0, value=value)])[names]


def alignment(roles) -> pd.DataFrame:
    """The barrier between two RI-T falls from 40 points raw to 30, 20 and 10."""
    rows = []
    for key in _final(roles):
        if key[-1] != "independent" or key[1] != "RI-T":
            continue
        unit = 0.01 if METRIC[key[0]] == "auc" else 1.0
        for drop, method in ((40, "raw"), (30, "raw_repaired"), (20, "aligned"), (10, "repaired")):
            for alpha in (0.0, 0.5, 1.0):
                value = unit * (60 - (drop if alpha == 0.5 else 0))
                rows.append((*key[:-1], method, alpha, "test", METRIC[key[0]], value))
    return pd.DataFrame(rows, columns=["role", *PAIR, "method", "alpha", "split", "metric", "value"])


def soups(roles) -> pd.DataFrame:
    """A soup of P-T gains 2 points, 1, 2 or 3 with a seed left out; one of RI-T loses 40."""
    rows = []
    for role, init in itertools.product(roles, RATE):
        unit = 0.01 if METRIC[role] == "auc" else 1.0
        for left_out, extra in zip(("-", "0", "1", "2"), (0, -1, 0, 1), strict=True):
            gain = 2 + extra if init == "P-T" else -40
            found = {"soup": END[init] + gain, "members": END[init], "best": END[init] + 1}
            for kind, value in (found | {"ensemble": END[init] + 3}).items():
                keys = (role, init, RATE[init], "independent", left_out, 3 if left_out == "-" else 2, kind)
                rows.append((*keys, "test", METRIC[role], unit * value))
    names = ["role", "init", "rate", "pairing", "left_out", "members", "kind", "split", "metric", "value"]
    return pd.DataFrame(rows, columns=names)


def predictions(roles) -> pd.DataFrame:
    """Two images on the first line of each kind: a cat called one only at the ends, a dog always."""
    rows = []
    for role, (init, init_b) in itertools.product(roles, MIDDLE):
        pair = (init, RATE[init], 0, init_b, RATE[init_b], 1)
        for alpha, name in itertools.product((0.0, 0.5, 1.0), ("cat", "dog")):
            said = "dog" if alpha == 0.5 else name
            rows.append((role, *pair, alpha, f"{role}/{name}.png", "0" * 64, name, said, 0.75))
    names = ["alpha", "path", "sha256", "label", "prediction", "confidence"]
    return pd.DataFrame(rows, columns=["role", *PAIR, *names])


def tables(roles) -> dict[str, pd.DataFrame]:
    """All tables of question 3."""
    made = (interpolation, basins, around, flatness, twins, alignment, soups, predictions)
    found = {table.__name__: table(roles) for table in made}
    return found | {"barriers": barriers(found["interpolation"])}
