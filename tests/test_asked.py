"""What we asked ourselves before the four studies of issue 27 ran: every statement can get every verdict."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tlbook import questions
from tlbook.evidence import statements
from tlbook.evidence.statistics import ALL, NATURAL
from tlbook.questions.another_p import statements as another_p
from tlbook.questions.another_p.summaries import asked_again, over_ps, spread
from tlbook.questions.partial_transfer import statements as partial_transfer
from tlbook.questions.parting import statements as parting
from tlbook.questions.shuffled_p import statements as shuffled_p

SEEDS = tuple(range(3, 8))
DOMAINS = pd.DataFrame({"role": ALL, "chance": [10.0, 10.0, 10.0, 0.5]})


def effects(mean: float, noise: float, seeds=SEEDS) -> dict[int, float]:
    """An effect a seed, with that mean and spread."""
    shape = np.linspace(-1, 1, len(seeds)) if len(seeds) > 1 else np.zeros(1)
    return dict(zip(seeds, mean + noise * shape, strict=True))


def of_shuffled_p(effect: dict, fits=100.0, times_chance=10.0):
    """All statements of the room have a seed's effect as their value."""
    rows = []
    for role, (seed, e) in itertools.product(NATURAL, effect.items()):
        ends = {"RI-T": 60, "MeanVar-T": 60, "Pixels-T": 60 + e, "Blocks-T": 60 + e, "P-T": 60 + 4 * e}
        seen = {"RI-T": 0.0, "Pixels-T": 1 / 32, "Blocks-T": 1 / 4}
        for init, block in itertools.product(ends, (1.0, 1 / 32, 1 / 4)):
            row = dict(role=role, init=init, source_fraction=seen.get(init, 1.0), rate="low", seed=seed)
            row |= dict(block_size=str(int(32 * block)), block_fraction=block)
            for split, metric, value in (
                ("test", "accuracy", ends[init]), ("dev", "accuracy", ends[init]),
                ("train", "accuracy", fits), ("train", "mean_accuracy", ends[init]),
            ):  # fmt: skip
                rows.append(row | dict(split=split, metric=metric, value=float(value)))
    sources = [
        dict(init=init, source_fraction=seen[init], epoch=epoch, split="test", metric="accuracy",
             value=0.5 * (1 if epoch == 0 else times_chance), chance=0.5)
        for init in ("Pixels-T", "Blocks-T") for epoch in (0, 2)
    ]  # fmt: skip
    return {"from_shuffled": pd.DataFrame(rows), "shuffled_sources": pd.DataFrame(sources)}


def of_partial_transfer(effect: dict, fits=100.0):
    """T2, whose values should be near 0, has a tenth of a seed's effect beyond its band's end at an effect of
    20; all others have the effect (X-rays a hundredth)."""
    partial, probes = [], []
    for role, (seed, e) in itertools.product(ALL, effect.items()):
        unit = 0.01 if role == "xray" else 1.0
        metric = "auc" if role == "xray" else "accuracy"
        ends = {("first", 2): 60 + e, ("last", 2): 60, ("first", 4): 70 - (2 - e), ("first", 5): 70}
        ends |= {("last", 4): 70 - e, ("last", 5): 70, ("first", 0): 50, ("last", 0): 50}
        for (part, modules), value in ends.items():
            row = dict(role=role, part=part, modules=modules, seed=seed, metric=metric)
            partial += [
                row | dict(split="test", value=unit * value), row | dict(split="train", value=unit * fits),
            ]  # fmt: skip
        rise = 0.0 if role == "quickdraw" else e
        values = {("P", "conv1"): 50 + e - rise / 2, ("P", "layer4.0"): 50 + e + rise / 2}
        values |= {("random", "conv1"): 50, ("random", "layer4.0"): 50}
        for (init, module), value in values.items():
            row = dict(role=role, init=init, seed=seed, module=module, method="linear", metric=metric)
            probes.append(row | dict(value=unit * value))
    return {"partial": pd.DataFrame(partial), "probes": pd.DataFrame(probes)}


def of_parting(effect: dict, fits=100.0):
    rows = []
    for seed, e in effect.items():
        heights = {
            ("RI-T", "high", 300, 0.0): 2 + e, ("RI-T", "high", 750, 0.0): 2 + 2 * e,
            ("RI-T", "low", 300, 0.0): 2.0, ("P-T", "low", 300, 0.0): 2 - e, ("P-T", "low", 750, 0.0): 2 - e,
        }  # fmt: skip
        late = {(i, r, n, 0.04): 2 - e for i, r, n, _ in heights}
        later = {(i, r, n, 0.2): -99.0 for i, r, n, _ in heights}
        for (init, rate, images, fraction), height in (heights | late | later).items():
            row = dict(role="clipart", init=init, rate=rate, seed=seed, images=images, fraction=fraction)
            row |= dict(parting=int(200 * fraction), metric="accuracy")
            rows += [row | dict(quantity="height", value=height), row | dict(quantity="training", value=fits)]
    return {"parted": pd.DataFrame(rows)}


def of_another_p(effect: dict):
    lines, far, alike = [], [], []
    for role, (seed, e) in itertools.product(ALL, effect.items()):
        unit, guess = (0.01, 0.5) if role == "xray" else (1.0, 10.0)
        metric = "auc" if role == "xray" else "accuracy"
        two_ps = [("own", "2", seed, seed), ("2", "3", seed, seed)]
        one_p = [("own", "own", seed, other) for other in effect if other > seed]
        for p, p_b, a, b in two_ps + one_p:
            row = dict(p=p, p_b=p_b, role=role, init="P-T", rate="low", seed=a, init_b="P-T", rate_b="low")
            row |= dict(seed_b=b)
            for alpha, share in ((0.0, 1.0), (0.5, 0.5 - e / 100), (1.0, 1.0)):
                line = dict(
                    alpha=alpha, split="test", metric=metric, checkpoint="final", checkpoint_b="final"
                )
                lines.append(row | line | dict(value=guess + unit * share * 40))
            apart = dict(epoch=200, module="all", metric="l2_sum", value=np.exp(e) if p != p_b else 1.0)
            far.append(row | apart)
            value = 0.2 + e / 100 + (0 if p != p_b else e / 100)
            alike.append(row | dict(module="conv1", module_b="conv1", metric="cka", value=value))
    frames = {"p_interpolation": lines, "p_distance": far, "p_similarity": alike}
    return {name: pd.DataFrame(rows) for name, rows in frames.items()} | {"domains": DOMAINS}


ROOMS = {
    "shuffled_p": (shuffled_p.CLAIMS, of_shuffled_p),
    "partial_transfer": (partial_transfer.CLAIMS, of_partial_transfer),
    "parting": (parting.CLAIMS, of_parting),
    "another_p": (another_p.CLAIMS, of_another_p),
}
every_room = pytest.mark.parametrize("room", ROOMS)


def verdicts(room: str, effect: dict, **how) -> pd.Series:
    claims, make = ROOMS[room]
    rows = statements.evaluate(claims, make(effect, **how))
    return rows.set_index(rows.claim.astype(str) + rows.letter).verdict


@every_room
@pytest.mark.parametrize("mean, noise, said", [
    (5.0, 1.0, "reproduced"), (-5.0, 1.0, "not reproduced"), (0.1, 5.0, "open"),
])  # fmt: skip
def test_a_statement_is_judged_by_its_interval(room, mean, noise, said):
    found = verdicts(room, effects(mean, noise)).drop("T2a", errors="ignore")
    assert set(found) == {said}


@pytest.mark.parametrize("mean, noise, said", [
    (2.0, 0.5, "reproduced"), (9.0, 0.5, "not reproduced"), (-5.0, 0.5, "not reproduced"), (4.0, 2.0, "open"),
])  # fmt: skip
def test_a_band_is_judged_by_two_one_sided_tests(mean, noise, said):
    """T2's value is the effect turned, about 2: 0 at an effect of 2, and out of the band beyond 4."""
    assert verdicts("partial_transfer", effects(mean, noise))["T2a"] == said


@every_room
def test_few_seeds_and_pilot_seeds_decide_nothing(room):
    for seeds in (SEEDS[:4], (0, 1, 2)):
        assert set(verdicts(room, effects(5.0, 1.0, seeds))) == {"not tested"}


@every_room
def test_a_table_that_is_missing_is_said(room):
    claims, make = ROOMS[room]
    tables = make(effects(5.0, 1.0))
    rows = statements.evaluate(claims, {"domains": DOMAINS, **dict(list(tables.items())[1:])})
    assert "not recorded" in set(rows.verdict)


def test_a_p_that_learned_nothing_and_runs_that_did_not_fit_are_premises_absent():
    assert set(verdicts("shuffled_p", effects(5.0, 1.0), times_chance=3.9)) == {"premise absent"}
    found = verdicts("shuffled_p", effects(5.0, 1.0), fits=80.0).drop(["S2a", "S2b"])  # which read no RI-T
    assert set(found) == {"premise absent"}
    assert set(verdicts("parting", effects(5.0, 1.0), fits=80.0)) == {"premise absent"}
    found = verdicts("partial_transfer", effects(5.0, 1.0), fits=80.0)
    assert set(found[["T1a", "T2a", "T3a"]]) == {"premise absent"} and found["T4a"] == "reproduced"


def test_ours_stand_beside_the_papers_and_are_not_counted_among_them():
    for claims, _ in ROOMS.values():
        assert all(not claim.number.isdigit() and claim.where == "ours" for claim in claims)
        assert not set(claims) & set(questions.claims())
    numbers = [claim.number for claims, _ in ROOMS.values() for claim in claims]
    assert len(numbers) == len(set(numbers))
    every = [one for claims, _ in ROOMS.values() for claim in claims for one in claim.statements]
    assert all(np.isnan(statements.papers_value(one)[0]) for one in every)  # the paper prints none of them


def test_the_statements_that_are_asked_again_are_those_of_the_issue():
    found = asked_again()
    assert [f"{claim.number}{one.letter}" for claim, one in found] == list(another_p.AGAIN)
    assert {claim.number for claim, _ in found} == {1, 2, 3, 9, 11, 16, 17, 26, 27}


def curves_of_ps(gains: dict[str, float], noise: float) -> dict:
    """p_learning_curves in which P-T of each P ends so many points above RI-T, give or take a seed's own."""
    rows = []
    for role, (seed, e) in itertools.product(NATURAL, effects(0.0, noise).items()):
        for p, init, value in [
            ("-", "RI-T", 60.0),
            *((p, "P-T", 60 + gain + e) for p, gain in gains.items()),
        ]:
            rate = {"RI-T": "high", "P-T": "low"}[init]
            row = dict(p=p, role=role, init=init, rate=rate, seed=seed, epoch=9, metric="accuracy")
            rows += [row | dict(split=split, value=value) for split in ("dev", "test")]
            rows.append(row | dict(split="train", value=100.0))
    return {"p_learning_curves": pd.DataFrame(rows)}


@pytest.mark.parametrize("gains, holds, said", [
    ((8.0, 9.0, 10.0, 9.0), 4, "reproduced"), ((8.0, -1.0, 2.0, 1.0), 3, "open"),
    ((-8.0, -9.0, -7.0, -8.0), 0, "not reproduced"), ((8.0, 9.0, 10.0), 3, "not tested"),
])  # fmt: skip
def test_a_statement_is_asked_of_every_p_and_judged_over_them(gains, holds, said):
    tables = curves_of_ps(dict(zip(("own", "2", "3", "4"), gains, strict=False)), noise=1.0)
    row = over_ps(tables).set_index("claim").loc["1a"]
    mean, half = np.mean(gains), stats.sem(gains) * stats.t.ppf(0.975, len(gains) - 1)
    assert (row.holds, row.n, row.verdict) == (holds, len(gains), said)
    assert [row["mean"], row.low, row.high] == pytest.approx([mean, mean - half, mean + half])
    assert (row.own, row.lowest, row.highest) == pytest.approx((gains[0], min(gains), max(gains)))
    assert row.sd_ps == pytest.approx(np.std(gains, ddof=1)) and row.sd_seeds == pytest.approx(0.625**0.5)
    assert over_ps(tables).set_index("claim").verdict["9a"] == "not recorded"


def test_the_spread_between_ps_is_what_two_way_analysis_of_variance_gives():
    """Against its textbook form, from sums of squares of effects."""
    rng = np.random.default_rng(0)
    table = 3.0 * rng.normal(size=(4, 1)) + 0.5 * rng.normal(size=5) + 0.2 * rng.normal(size=(4, 5))
    ps, seeds, whole = table.mean(1), table.mean(0), table.mean()
    of_ps, of_seeds = 5 * ((ps - whole) ** 2).sum(), 4 * ((seeds - whole) ** 2).sum()
    left = ((table - whole) ** 2).sum() - of_ps - of_seeds
    found = spread([pd.Series(row, index=SEEDS) for row in table])
    assert found["sd_ps"] ** 2 == pytest.approx((of_ps / 3 - left / 12) / 5)
    assert found["sd_seeds"] ** 2 == pytest.approx(np.mean([np.var(row, ddof=1) for row in table]))
    assert np.isnan(spread([pd.Series([1.0], index=[3]), None])["sd_ps"])
    alike = [pd.Series([1.0, 2.0, 4.0])] * 3
    assert spread(alike)["sd_ps"] == pytest.approx(0, abs=1e-12)
