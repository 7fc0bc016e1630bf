"""Rules 2: statements on made-up tables that give every verdict, on the paper's own numbers, and on the
records."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from made_up_evidence import SEEDS, changed, world
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tlbook import intervals, questions
from tlbook.book import records
from tlbook.evidence import paper, statements
from tlbook.evidence.selection import Evidence
from tlbook.evidence.statements import Claim, Statement, evaluate, holm, papers_value
from tlbook.evidence.statistics import RI_RI, mean_over_pairs

EVERY = {
    f"{claim.number}{one.letter}": (claim, one) for claim in questions.claims() for one in claim.statements
}
NOT_PRINTED = {"11a", "12a", "16b", "21a", "24b"}  # statistics of which the paper prints no value


def judged(tables: dict, *names: str, **how) -> pd.DataFrame:
    """Rows of `evaluate` of some statements, by name."""
    claims = [
        Claim(c.number, c.section, c.where, c.text, (one,)) for c, one in map(EVERY.get, names or EVERY)
    ]
    rows = evaluate(claims, tables, **how)
    return rows.set_axis(rows.claim.astype(str) + rows.letter)


def verdict(tables: dict, name: str, **how) -> str:
    return judged(tables, name, **how).verdict[name]


@pytest.fixture(scope="module")
def right() -> dict:
    """Tables of ten seeds in which the paper is right."""
    return world()


@pytest.fixture(scope="module")
def all_rows(right) -> pd.DataFrame:
    return judged(right)


def test_there_are_41_statements_on_30_claims_in_order():
    assert [claim.number for claim in questions.claims()] == list(range(1, 31)) and len(EVERY) == 41
    for claim, one in EVERY.values():
        assert one.asks in (">", "<", "within") and (one.band > 0) == (one.asks == "within") and one.why, (
            claim
        )
        assert one.letter == "abc"[claim.statements.index(one)]


# -- the paper's own numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_the_papers_own_value_lies_where_the_paper_claims(name):
    value, targets = papers_value(EVERY[name][1])
    assert math.isnan(value) == (targets == 0) == (name in NOT_PRINTED)
    assert name in NOT_PRINTED or EVERY[name][1].holds(value)


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("1a", (16.9 + 16.3 + 2.7) / 3),
        ("2a", (0.01 + 0.01 + 0.10) / 3),
        ("3a", (16.9 + 16.3) / 2 - 2.7),
        ("5b", 0.768 - 0.704),  # RI-T's better rate at the end is the low one
        ("8a", 100 * (9.5 / 10.5 - 14 / 64.5)),
        ("13b", np.mean([0.0036, 0.0011, 0.0022, 0.0003, 0.0808])),
        ("16a", np.mean(np.log([815.08 / 193.45, 822.43 / 178.07, 776.76 / 218.52, 255.34 / 200.12]))),
        ("19a", np.mean([(345 * low - 100) / (345 * end - 100) for low, end in ((6.5, 61.5), (5.5, 58), (16.3, 64.3))])),
        ("22b", (0.701 - 0.561) - (0.734 - 0.723)),
        ("26a", np.mean([0, 73.9 - 74.1, 66.9 - 67.2])),
        ("27a", 12 - np.mean([0.3, 0, 0.1])),
    ],
)  # fmt: skip
def test_the_papers_value_by_hand(name, by_hand):
    assert papers_value(EVERY[name][1])[0] == pytest.approx(by_hand, abs=1e-9)


def test_of_how_many_targets_the_paper_prints_a_value():
    assert papers_value(EVERY["18a"][1])[1] == 2  # Figure 4 leaves clipart out
    assert papers_value(EVERY["18b"][1])[1] == 3


# -- every verdict ----------------------------------------------------------------------------------------


def test_where_the_paper_is_right_every_statement_is_reproduced(all_rows):
    rows = all_rows
    assert set(rows.verdict) == {"reproduced"} and (rows.n == 10).all() and rows.holm.all()
    printed = rows[rows.paper.notna() & (rows.asks.str[0] != "0")]
    assert (abs(printed.value - printed.paper) < 0.02 * abs(printed.paper) + 0.01).mean() > 0.8
    assert rows.with_sign["1a"] == "3 of 3" and rows.with_sign["3a"] == ""


WRONG = {
    "1a": ("learning_curves", lambda v: v - 30, {"init": "P-T", "split": "test"}),
    "2a": ("learning_curves", lambda v: v * 0.5, {"init": "P-T", "split": "test"}),
    "6b": ("block_shuffle", lambda v: 60.0, {"init": "RI-T", "block_size": "1"}),
    "11a": ("mistakes", lambda v: 0.9, {"init": "RI-T"}),
    "14a": ("similarity", lambda v: 0.99, {"module": "layer4"}),
    "15a": ("similarity", lambda v: v + 0.5, {"init": "RI-T"}),
    "16c": ("distance", lambda v: 50.0, {"init": "RI-T", "init_b": "P"}),
    "17a": ("interpolation", lambda v: v - 10, {"init": "P-T", "init_b": "P-T", "alpha": 0.5}),
    "18c": ("interpolation", lambda v: 0.75, {"role": "xray", "init_b": "RI-T", "alpha": 0.5}),
    "22a": ("rewind", lambda v: 0.6, {"init": "P-T", "module": "layer3.1"}),
    "26a": ("finetuned", lambda v: v + 5, {"checkpoint": 90, "split": "test"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_where_the_paper_is_wrong_it_is_not_reproduced(right, name):
    table, change, where = WRONG[name]
    row = judged(changed(right, table, change, **where), name).loc[name]
    assert row.verdict == "not reproduced" and row.holm


@pytest.mark.parametrize("name", ["1a", "22b", "26a"])
def test_a_wide_interval_leaves_it_open_and_says_how_many_seeds_would_do(right, name):
    noisy = {n: t.assign(value=t.value * (1 + 0.5 * np.random.default_rng(1).normal(size=len(t))))
             if n in ("rewind", "finetuned") else t for n, t in right.items()}  # fmt: skip
    curves = noisy["learning_curves"]
    bad = (curves.init == "P-T") & curves.seed.isin((3, 4)) & (curves.split != "train")
    noisy["learning_curves"] = curves.assign(value=curves.value.where(~bad, 0.1 * curves.value))
    row = judged(noisy, name).loc[name]
    assert row.verdict == "open" and "seeds" in row.needs and not row.holm


@pytest.mark.parametrize(
    ("name", "table", "value", "where", "words"),
    [
        ("1a", "learning_curves", 80.0,
         {"init": "RI-T", "split": "train", "metric": "accuracy", "role": "real"}, "RI-T (real, high) reached 80"),
        ("11a", "learning_curves", 0.8, {"init": "P-T", "split": "train", "metric": "auc"},
         "P-T (xray, low) reached 0.8"),
        ("6b", "block_shuffle", 80.0,
         {"init": "RI-T", "split": "train", "metric": "accuracy", "block_size": "224"}, "RI-T (clipart, high, 224) reached 80"),
        ("4b", "learning_curves", 80.0, {"init": "RI-T", "split": "train", "metric": "accuracy"}, "it is 80"),
        ("8a", "block_shuffle", 90.0, {"init": "RI-T", "metric": "mean_accuracy"}, "hardly trains at '*'"),
        ("10a", "block_shuffle", 90.0, {"init": "RI-T", "metric": "mean_accuracy"}, "trains slowly"),
        ("20a", "learning_curves", 0.7, {"init": "RI-T", "role": "xray", "split": "dev"}, "dev AUC falls"),
        ("21a", "learning_curves", 0.3, {"init": "RI-T", "rate": "low", "metric": "loss"},
         "training loss under 0.2"),
        ("27a", "source_accuracy", 70.0, {}, "a source that changes by 2 points"),
    ],
)  # fmt: skip
def test_premise_absent(right, name, table, value, where, words):
    where = where or {"split": "test"}
    row = judged(changed(right, table, lambda v: value, **where), name).loc[name]
    assert row.verdict == "premise absent" and words in row.needs and not math.isnan(row.value)


def test_shuffled_runs_need_not_fit_and_what_no_rit_enters_has_no_premise(right):
    shuffled = changed(
        right, "block_shuffle", lambda v: 50.0, block_size="1", split="train", metric="accuracy"
    )
    low = changed(shuffled, "learning_curves", lambda v: 0.5, role="xray", init="P-T", split="train")
    assert list(judged(low, "6b", "14a").verdict) == ["reproduced", "reproduced"]


def test_a_run_that_collapsed_is_counted_and_taken_as_it_is(right):
    ends = {"role": "real", "init": "RI-T", "rate": "high", "seed": 5}
    one = changed(right, "learning_curves", lambda v: 0.3, **ends)
    row, before = (judged(tables, "1a", "4b").loc["1a"] for tables in (one, right))
    assert row.collapsed == "1 of 60 collapsed" and before.collapsed == ""
    assert row.value - before.value == pytest.approx((61.5 - 0.3) / 30, abs=0.2)
    assert verdict(one, "4b") == "reproduced"  # a sign does not mind how far one run fell


def test_seeds_of_the_pilot_judge_nothing(right):
    pilot = world(seeds=(0, 1, 2))
    row = judged(pilot, "1a").loc["1a"]
    assert statements.in_words(row) == "not tested: 3 of 5 seeds (pilot)" and row.value > 10
    both = {
        n: t if "seed" not in t else pd.concat([t, pilot[n].assign(value=-1e6)]) for n, t in right.items()
    }
    pd.testing.assert_frame_equal(judged(both, "1a", "16a"), judged(right, "1a", "16a"))
    assert (
        statements.in_words(judged(world(seeds=(3, 4, 5, 6)), "16a").loc["16a"]) == "not tested: 4 of 5 seeds"
    )
    assert verdict(world(seeds=range(3, 8)), "16a") == "reproduced"


def test_what_is_missing_is_named(right):
    without = {name: table for name, table in right.items() if name != "flatness"}
    assert (
        statements.in_words(judged(without, "21a").loc["21a"])
        == "not recorded: the table flatness is not recorded"
    )
    one_rate = right | {"flatness": right["flatness"].query("rate == 'low' or init == 'P-T'")}
    assert "init RI-T, rate high" in judged(one_rate, "21a").needs["21a"]
    half = right | {"interpolation": right["interpolation"].query("alpha < 1")}
    assert "does not reach both of its ends" in judged(half, "17a").needs["17a"]


def test_an_unjudged_scale_keeps_its_numbers(right, all_rows):
    names = ["1a", "16a", "22b", "26a"]
    rows = judged(right, *names, judged=False)
    assert set(rows.verdict) == {"not judged"} and rows.p.isna().all()
    pd.testing.assert_series_equal(rows.value, all_rows.value[names])
    assert set(judged({}, judged=False).verdict) == {"not recorded"}


def test_seeds_that_lack_a_run_are_left_out_and_it_is_said(right):
    curves = right["learning_curves"]
    fewer = right | {"learning_curves": curves[(curves.seed != 7) | (curves.role != "clipart")]}
    row = judged(fewer, "1a").loc["1a"]
    assert row.n == 9 and "only seeds 3, 4, 5, 6, 8" in row.note


def test_a_seed_without_a_value_decides_nothing(right):
    gap = changed(right, "learning_curves", lambda v: np.nan, seed=4, init="P-T", split="test", role="real")
    row = judged(gap, "1a").loc["1a"]
    assert row.verdict == "open" and row.needs == "runs that end with a value" and math.isnan(row.value)


def test_a_report_says_each_verdict_and_sums_up(right):
    text = statements.report(judged(right, "1a", "22b"))
    assert "reproduced" in text and text.endswith(
        "2 of 2 decided statements reproduced, 0 not, 0 open; 0 of 2 not decided"
    )


# -- intervals --------------------------------------------------------------------------------------------


def test_targets_are_averaged_within_each_seed_first(right):
    """Ours of 1a by hand: Student's interval of ten means over three targets."""
    table = right["learning_curves"].query("split == 'test' and epoch == 100")
    ends = table.groupby(["init", "rate", "seed"]).value.mean()
    values = ends["P-T"]["low"] - ends["RI-T"]["high"]
    low, high = stats.t.interval(0.95, 9, values.mean(), values.std(ddof=1) / math.sqrt(10))
    row = judged(right, "1a").loc["1a"]
    assert (row.low, row.high) == pytest.approx((low, high))


def test_pairs_leave_one_seed_out(right):
    """The interval of two RI-T's mean kappa on real, by hand."""
    kappa = mean_over_pairs("mistakes", RI_RI, metric="kappa")
    one = Statement(letter="a", text="", statistic=kappa, asks=">", targets=("real",), unit="κ")
    found = statements.estimate(one, Evidence(right))
    pairs = right["mistakes"].query("role == 'real' and init == 'RI-T'")
    left = [pairs[(pairs.seed != seed) & (pairs.seed_b != seed)].value.mean() for seed in SEEDS]
    error = math.sqrt(9 / 10 * ((left - np.mean(left)) ** 2).sum())
    assert found.value == pytest.approx(pairs.value.mean()) and found.error == pytest.approx(error)
    assert intervals.over_pairs(pairs) == pytest.approx((found.value, *found.interval()))


@pytest.mark.parametrize(("asks", "limit", "band"), [(">", 1.0, 0.0), ("<", 1.0, 0.0), ("within", 1.0, 0.5)])
def test_the_verdict_and_its_p_value_agree(asks, limit, band):
    one = Statement(
        letter="a", text="", statistic=None, asks=asks, limit=limit, band=band, targets=("real",), unit=""
    )
    said = set()
    for value, error in itertools.product(np.linspace(-2, 4, 61), (0.01, 0.1, 0.5)):
        found = statements.Estimate(value, error, SEEDS, {})
        verdict = statements.verdict(one, found)
        said.add(verdict)
        assert (statements.p_value(one, found) <= 0.05) == (verdict != "open")
        assert verdict != "reproduced" or one.holds(value)
        assert verdict != "not reproduced" or not one.holds(value)
    assert said == {"reproduced", "not reproduced", "open"}


def test_holm_is_statsmodels():
    p = np.random.default_rng(0).uniform(size=40) ** 4
    assert holm(p).tolist() == multipletests(p, method="holm")[0].tolist()
    assert holm([np.nan, 0.04, np.nan]).tolist() == [False, True, False] and holm([]).tolist() == []


def covered(n: int, spread: float, noise: float, draws: int = 20_000) -> float:
    """The share of intervals that hold 0, of the mean over pairs of two P-T minus that of P-T and RI-T. A
    pair's value is the sum of its runs' (RI-T's spread ``spread`` times P-T's) and ``noise`` of its own."""
    rng = np.random.default_rng(n)
    p_t, ri_t = rng.normal(size=(draws, n)), spread * rng.normal(size=(draws, n))
    own = np.triu(rng.normal(size=(draws, n, n)), 1)
    same = p_t[:, :, None] + p_t[:, None, :] + noise * (own + own.transpose(0, 2, 1))
    mixed = p_t[:, :, None] + ri_t[:, None, :] + noise * rng.normal(size=(draws, n, n))

    def means(values: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Over the pairs that are kept, and over those of them without each seed."""
        values = values * kept
        gone = [m.sum(-1) + m.sum(-2) - np.diagonal(m, axis1=-2, axis2=-1) for m in (values, kept)]
        total, count = values.sum((-1, -2)), kept.sum()
        return total / count, (total[:, None] - gone[0]) / (count - gone[1])

    (one, one_left), (other, other_left) = means(same, 1 - np.eye(n)), means(mixed, np.ones((n, n)))
    half = stats.t.ppf(0.975, n - 1) * intervals.jackknife_error(one_left - other_left)
    return float((abs(one - other) <= half).mean())


@pytest.mark.parametrize("n", [5, 10])
def test_coverage_over_pairs(n):
    """Nominal, within a point, where runs differ, however unequally; never below it where pairs do."""
    for spread in (1.0, 10.0):
        assert covered(n, spread, 0.0) == pytest.approx(0.95, abs=0.01)
    assert covered(n, 10.0, 1.0) == pytest.approx(0.95, abs=0.01)
    assert 0.95 < covered(n, 1.0, 10.0) < 1.0


@pytest.mark.parametrize("n", [5, 10])
def test_coverage_over_seeds(n):
    values = np.random.default_rng(n).normal(size=(20_000, n))
    half = stats.t.ppf(0.975, n - 1) * intervals.standard_error(values)
    assert (abs(values.mean(1)) <= half).mean() == pytest.approx(0.95, abs=0.01)


# -- the records ------------------------------------------------------------------------------------------


def test_every_statement_can_be_computed_from_the_records_or_says_what_is_missing():
    rows = judged(records.load_scale("laptop"))
    missing = rows.verdict == "not recorded"
    assert (
        set(rows.index[missing]) <= {"21a"} and rows.needs[missing].str.contains("flatness has no rows").all()
    )
    assert (
        np.isfinite(rows.loc[~missing, ["value", "low", "high"]]).all().all()
        and (rows.n[~missing] >= 3).all()
    )


def test_the_papers_tables_have_our_columns():
    """What a statistic selects by in ours it finds in the paper's."""
    for name, table in paper.tables().items():
        ours = questions.tables()[name].names
        assert set(table) - set(ours) <= {"error", "checkpoint", "metric", "epoch"} and len(table), name
