"""Made-up tables of question 5, in which what must be found is known beforehand."""

import numpy as np
import pandas as pd

from tlbook import scales, vocabulary
from tlbook.questions.checkpoints import method

CHECKPOINTS = (0, 1, 2, 5, 10, 11, 20, 21, 30)
EPOCHS = 30
SEEDS = (0, 1, 2)
ROLES = scales.TARGETS
METRIC = scales.get("laptop").metric
CONSTANT = (10, 11, 15)


def upstream(epoch: int) -> float:
    """The source's accuracy: up to 20 before the first step (after 10), then at once to 28, 34 at the end."""
    return 20 * (1 - np.exp(-epoch / 3)) if epoch <= 10 else 28 + 6 * (epoch > 20) + 0.01 * epoch


def downstream(epoch: int) -> float:
    """Points on the target: a power law of the source's accuracy that bends to 80; random weights at 50."""
    return 80 - 30 * (1 - upstream(epoch) / 100) ** 20


def finetuned(roles=ROLES, checkpoints=CHECKPOINTS, seeds=SEEDS, noise: float = 0.0) -> pd.DataFrame:
    """`downstream` plus a seed's own shift at the low rate; 5 less on test, dev and train at the high one,
    except from checkpoint 1, where it is 5 more on dev. Training ends at 99 and is 90 on average."""
    rng = np.random.default_rng(0)
    rows = []
    for role in roles:
        metric = METRIC[role]
        points = vocabulary.points(metric)
        for epoch in checkpoints:
            for rate in scales.RATES:
                for seed in seeds:
                    high = 0 if rate == "low" else -5
                    keys = {"role": role, "checkpoint": epoch, "checkpoint_fraction": epoch / EPOCHS,
                            "rate": rate, "seed": seed}  # fmt: skip
                    value = downstream(epoch) + high + seed - 1 + noise * rng.normal()
                    dev = value - 2 * high * (epoch == 1)
                    measured = {("test", metric): value, ("dev", metric): dev, ("train", metric): 99.0,
                                ("train", f"mean_{metric}"): 90.0 + high}  # fmt: skip
                    rows += [
                        keys | {"split": split, "metric": name, "value": number / points}
                        for (split, name), number in measured.items()
                    ]
    return pd.DataFrame(rows)


def source_accuracy() -> pd.DataFrame:
    """`upstream` after each of 30 epochs; the rate falls after epochs 10 and 20."""
    rows = []
    for epoch in range(EPOCHS + 1):
        at = {"checkpoint": epoch, "checkpoint_fraction": epoch / EPOCHS}
        rows.append(at | {"split": "test", "metric": "accuracy", "value": upstream(epoch)})
        rate = 0.1 ** (1 + (epoch > 10) + (epoch > 20))
        rows.append(at | {"split": "train", "metric": "rate", "value": rate})
    return pd.DataFrame(rows)


def tuning_curves(roles=ROLES) -> pd.DataFrame:
    """Straight lines to 99 in four epochs."""
    rows = []
    for row in finetuned(roles).query("split == 'test'").itertuples():
        for epoch in range(5):
            value = (20 + 79 * epoch / 4) / vocabulary.points(row.metric)
            rows.append({"role": row.role, "checkpoint": row.checkpoint, "rate": row.rate, "seed": row.seed,
                         "epoch": epoch, "metric": row.metric, "value": value})  # fmt: skip
    return pd.DataFrame(rows)


def constant_rate(roles=ROLES) -> pd.DataFrame:
    """The second pre-training stays at 21 on the source; its checkpoints do as well as P's epoch 10."""
    found = finetuned(roles, CONSTANT).query("rate == 'low'").copy()
    level = finetuned(roles, (10,)).query("rate == 'low'")
    for epoch in CONSTANT:
        found.loc[found.checkpoint == epoch, "value"] = level.value.to_numpy()
    rows = [
        {"role": "source", "checkpoint": epoch, "checkpoint_fraction": epoch / EPOCHS, "rate": "-", "seed": 0,
         "split": "test", "metric": "accuracy", "value": min(upstream(min(epoch, 10)), 21.0)}
        for epoch in range(16)
    ]  # fmt: skip
    return pd.concat([found, pd.DataFrame(rows)], ignore_index=True)


def tables(roles=ROLES, noise: float = 0.5) -> dict[str, pd.DataFrame]:
    """All tables of question 5."""
    tuned, source = finetuned(roles, noise=noise), source_accuracy()
    fits, curves = method.saturation(tuned, source, count=200)
    return {
        "finetuned": tuned,
        "source_accuracy": source,
        "tuning_curves": tuning_curves(roles),
        "constant_rate": constant_rate(roles),
        "behind_last": method.behind_last(tuned),
        "saturation": fits,
        "saturation_curve": curves,
    }
