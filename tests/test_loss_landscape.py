"""Question 3's study: which pairs, the tables as `tlbook.tables` says, and what of them must agree."""

import json

import numpy as np
import pandas as pd
import pytest

from tlbook import questions, scales, tables
from tlbook.book import results
from tlbook.evidence.statements import evaluate
from tlbook.questions import grid
from tlbook.questions.feature_reuse import study as feature_reuse
from tlbook.questions.loss_landscape import study as loss_landscape
from tlbook.questions.loss_landscape.method import predictions
from tlbook.questions.loss_landscape.method.barrier import alphas
from tlbook.questions.loss_landscape.study import pairs as landscape_lines
from tlbook.questions.loss_landscape.study.by_hand import Opened
from tlbook.questions.setup import study as setup
from tlbook.training import runs

TARGETS, SEEDS = ("quickdraw", "xray"), (0, 1, 2)
PAIR = ["init", "rate", "seed", "init_b", "rate_b", "seed_b"]


@pytest.fixture(scope="module")
def scale(tiny):
    """A few points, and a source of as few images as the tiny one."""
    return tiny.replace(landscape={"points": dict.fromkeys(scales.TARGETS, 5)}, constant_epochs=1)


@pytest.fixture(scope="module")
def study(scale, own_folders):
    """The tiny study, run once for this module; question 1's tables of these runs; and what a page opens."""
    with own_folders():
        found = results.run(questions.get("loss_landscape"), scale, TARGETS, SEEDS, workers=1, show=False)
        specs = loss_landscape.runs(scale, TARGETS, SEEDS)
        histories = {spec.id: runs.ensure(spec).history() for spec in specs}
        first = feature_reuse.tables(
            scale.replace(shuffles={"sizes": (32,)}), TARGETS, SEEDS, workers=1, show=False
        )
        opened = {role: Opened(scale, role) for role in TARGETS}
        weights = {role: [one.weights("RI-T", 0)] for role, one in opened.items()}
        weights["quickdraw"].append(opened["quickdraw"].weights("RI-T", 1, init_seed=0, head_seed=0))
    return found.tables, histories, first, (opened, weights)


def test_tables_are_valid_and_all_there(study):
    found, *_ = study
    assert set(found) == set(questions.get("loss_landscape").tables)
    for name, frame in found.items():
        assert len(tables.check(questions.tables()[name], frame))
        assert set(frame.role) == set(TARGETS) or name in ("alignment",)


def at(line):
    return line.first.at, line.second.at


def kinds(lines):
    named = [
        (line.kind.pairing, *((end.init, end.rate) for end in (line.first, line.second)), *at(line))
        for line in lines
    ]
    return pd.Series(named).value_counts()


def test_pairs_of_a_role_by_hand(scale):
    """quickdraw has second rates on one seed, three RI-T of one init, and two P-T of each control."""
    low, high = ("P-T", "low"), ("RI-T", "high")
    final = ("final", "final")
    assert kinds(landscape_lines.lines(scale, "quickdraw", SEEDS)).to_dict() == {
        ("independent", low, low, *final): 3,
        ("independent", high, high, *final): 3,
        ("independent", low, high, *final): 3,
        ("independent", low, ("RI-T", "low"), *final): 1,
        ("independent", ("P-T", "high"), high, *final): 1,
        ("rate", low, ("P-T", "high"), *final): 1,
        ("same_init", high, high, *final): 3,
        ("order", low, low, *final): 1,
        ("head", low, low, *final): 1,
        ("other_source", low, low, *final): 2,
    }
    best = ("best", "best")
    assert kinds(landscape_lines.lines(scale, "xray", SEEDS)).to_dict() == {
        (*kind, *at): 3
        for kind in (("independent", low, low), ("independent", high, high), ("independent", low, high))
        for at in (final, best)
    } | {("same_run", kind, kind, "best", "final"): 3 for kind in (low, high)}


def test_a_p_t_and_an_ri_t_share_neither_head_nor_order_where_they_can(scale):
    for line in landscape_lines.lines(scale, "real", SEEDS):
        if line.first.init != line.second.init:
            assert line.first.seed != line.second.seed
    several = scale.replace(landscape={"partners": 2})
    mixed = [x for x in landscape_lines.lines(several, "real", SEEDS) if x.first.init != x.second.init]
    assert len({(x.first.seed, x.second.seed) for x in mixed}) == 6
    alone = landscape_lines.lines(scale, "real", (4,))
    assert [(x.first.seed, x.second.seed) for x in alone] == [(4, 4)]


def test_controls_differ_in_one_thing_only(scale):
    differ = {
        "order": {"order_seed"}, "head": {"head_seed"}, "rate": {"rate"}, "other_source": {"init"},
        "same_init": {"order_seed"},
    }  # fmt: skip
    seen = set()
    for line in landscape_lines.lines(scale, "quickdraw", SEEDS):
        one, other = line.first.spec.identity, line.second.spec.identity
        if line.kind.pairing in differ:
            assert {name for name in one if one[name] != other[name]} == differ[line.kind.pairing]
            seen.add(line.kind.pairing)
    assert seen == set(differ)


def test_new_runs_are_few(scale):
    """Beside question 1's: another P, 2 RI-T of one init, 1 other order, 1 other head, 2 from the other P."""
    specs = {spec.id: spec for spec in loss_landscape.runs(scale, ("quickdraw",), SEEDS)}
    known = {spec.id for spec in feature_reuse.runs(scale, ("quickdraw",), SEEDS)}
    new = [spec for name, spec in specs.items() if name not in known]
    assert len(new) == 7 and sum(spec.role == scales.SOURCE for spec in new) == 1
    assert grid.constant_source(scale).id in specs
    assert all(spec.kept == (spec.epochs,) for spec in new if spec.role != scales.SOURCE)


def test_weights_of_the_users_own_have_no_second_source(scale, tmp_path):
    own = scale.replace(pretrained=str(runs.ensure(grid.source(scale)).checkpoint("final")))
    specs = loss_landscape.runs(own, ("quickdraw",), SEEDS)
    assert not [spec for spec in specs if spec.role == scales.SOURCE]
    assert "other_source" not in {
        line.kind.pairing for line in landscape_lines.lines(own, "quickdraw", SEEDS)
    }


def test_ends_of_lines_are_the_final_and_best_metrics_of_their_runs(study, scale):
    found, histories, *_ = study
    rows = found["interpolation"]
    rows = rows[(rows.split == "test") & (rows.metric != "calibrated_loss")]
    for init, rate in (("P-T", "low"), ("RI-T", "high")):
        history = histories[grid.of_init(scale, init, "xray", rate, 1).id]
        final = history[(history.epoch == history.epoch.max()) & (history.split == "test")]
        own = rows[(rows.role == "xray") & (rows.init == init) & (rows.rate == rate) & (rows.seed == 1)]
        own = own[(own.checkpoint == "final") & (own.alpha == 0) & (own.pairing == "independent")]
        for metric, value in final.set_index("metric").value.items():
            assert set(own[own.metric == metric].value) == {value}
        same = rows[(rows.pairing == "same_run") & (rows.init == init) & (rows.seed == 1)]
        assert set(same.checkpoint) == {"best"} and set(same.checkpoint_b) == {"final"}
        same = same[(same.alpha == 1) & (same.metric == "auc")]
        assert set(same.value) == set(own[own.metric == "auc"].value)


def test_lines_have_the_places_asked_for(study):
    """All on the paper's lines, every other one on the controls', and more beyond the first of each init."""
    rows = study[0]["interpolation"]
    rates = rows.init.map({"P-T": "low", "RI-T": "high"}), rows.init_b.map({"P-T": "low", "RI-T": "high"})
    papers = rows.pairing.isin(["independent", "same_init", "same_run"])
    papers &= (rows.rate == rates[0]) & (rows.rate_b == rates[1])
    beyond = 0
    for keys, line in rows.groupby(["role", "pairing", "checkpoint", "checkpoint_b", *PAIR]):
        if line.alpha.min() < 0:
            assert set(line.alpha) == set(alphas(5, 1)) and keys[1:4] == ("independent", "final", "final")
            beyond += 1
        else:
            assert set(line.alpha) == set(alphas(5 if papers[line.index].all() else 3)), keys
    assert beyond == len(TARGETS) * 2
    measured = {("test", name) for name in ("accuracy", "auc", "loss", "calibrated_loss")}
    assert set(zip(rows.split, rows.metric, strict=True)) == measured | {("train", "loss")}


def test_steps_past_the_ends_are_the_lines_own(study):
    found, *_ = study
    around, lines = found["around"], found["interpolation"]
    lines = lines[(lines.split == "train") & (lines.role == "xray") & (lines.init == "P-T")]
    lines = lines[(lines.checkpoint == "final") & (lines.init_b == "P-T") & (lines.seed_b == 1)]
    at = lines.set_index("alpha").value
    own = around[(around.role == "xray") & (around.init == "P-T")]
    own = own.set_index(["direction", "end", "fraction"]).value
    assert own["line", "first", 0.5] == at[-0.5] and own["line", "second", 0.5] == at[1.5]
    for direction in ("line", "random"):
        ends = own[direction, "first", 0.0], own[direction, "second", 0.0]
        assert ends == pytest.approx((at[0.0], at[1.0]), rel=1e-6)


def test_a_basin_is_measured_on_its_line(study):
    found, *_ = study
    one = found["basins"].query("role == 'quickdraw' and pairing == 'order'").set_index("quantity").value
    line = found["interpolation"].query(
        "role == 'quickdraw' and pairing == 'order' and split == 'train'"
    ).sort_values("alpha")  # fmt: skip
    assert one["mean"] == pytest.approx(np.trapezoid(line.value, line.alpha))
    assert one["epsilon_low"] == one["spread"] and one["distance"] > 0
    assert one["epsilon_high"] == min(one["noise_rise"], one["beyond_rise"]) / 2


def test_soups_leave_one_out(study):
    soups = study[0]["soups"].query("role == 'quickdraw' and metric == 'accuracy' and kind == 'soup'")
    counts = soups.set_index(["init", "rate", "pairing", "left_out"]).members.sort_index()
    assert counts["P-T", "low", "independent"].to_dict() == {"-": 3, "0": 2, "1": 2, "2": 2}
    assert counts["RI-T", "high", "same_init"].to_dict() == {"-": 3, "0": 2, "1": 2, "2": 2}
    assert counts["P-T", "both", "rate"].to_dict() == {"-": 2}


def test_predictions_start_with_images_that_change(study):
    said = study[0]["predictions"]
    for _, line in said.groupby(["role", *PAIR]):
        assert line.path.nunique() == predictions.IMAGES
        assert set(line.alpha) == set(alphas(5)) and line.confidence.between(0, 1).all()
    shown = np.array([[0, 1, 2, 3, 4], [0, 1, 0, 3, 4], [0, 0, 2, 3, 4]])
    assert predictions.changing(shown, 3) == [1, 2, 0]
    assert predictions.changing(shown, 1) == [1]


def test_images_of_a_line_by_file(scale):
    from tlbook import data

    test = data.load(data.request(scale, "real")).test
    file = test.paths[3], test.digests[3]
    found = setup.pictures(scale, "real", [file, (test.paths[3], "other"), ("elsewhere", test.digests[3])])
    assert list(found) == [file] and found[file].shape == (32, 32, 3)
    assert (found[file] == test.images[3].permute(1, 2, 0).numpy()).all()


def test_claims_can_be_read_from_the_tables_with_question_ones(study):
    """On the targets that ran; of the others nothing is recorded, nor flatness at both rates."""
    found, _, first, _ = study
    claims = questions.get("loss_landscape").claims
    judged = evaluate(claims, found | first).set_index(["claim", "letter"])
    there = judged[judged.targets == "xray"]
    assert list(there.index) == [(17, "b"), (18, "c"), (20, "a")]
    assert set(there.verdict) == {"not tested"} and (there.n >= 3).all()
    assert set(judged.verdict[judged.targets != "xray"]) == {"not recorded"}
    # networks this small may end at chance, above which nothing is left to lose: claim 18 says so
    assert np.isfinite(there.value.drop((18, "c"))).all()


def test_a_diverged_run_is_recorded_as_unmeasured(scale, monkeypatch):
    """Its lines hold NaN, its pairs are in no basin or soup, and the claims that need it say so."""
    small = scale.replace(landscape={"control_seeds": {}, "same_init_seeds": {}})
    broken = runs.ensure(grid.ri_t(small, "real", "high", 1))
    weights = broken.checkpoint("final")
    from tlbook import models

    state = models.load(weights) | {"fc.bias": models.load(weights)["fc.bias"] * float("nan")}
    models.save(state, weights)
    end = json.loads((broken.path / "complete.json").read_text())
    end["digests"]["checkpoints/" + weights.name] = models.sha256(weights)  # as if training had left it
    (broken.path / "complete.json").write_text(json.dumps(end))
    found = loss_landscape.tables(small, ("real",), SEEDS, workers=1, show=False)
    for name, frame in found.items():
        tables.check(questions.tables()[name], frame)
    lines = found["interpolation"]
    own = (lines.init_b == "RI-T") & (lines.seed_b == 1) | (lines.init == "RI-T") & (lines.seed == 1)
    assert lines[own].value.isna().all() and lines[~own].value.notna().all() and own.any()
    assert set(found["flatness"].query("init == 'RI-T' and seed == 1").value.isna()) == {True}
    assert not len(found["basins"].query("init == 'RI-T' and seed == 1"))
    judged = evaluate(questions.get("loss_landscape").claims, found)
    assert judged.value.isna().all() and set(judged.verdict) == {"not recorded"}  # of other targets


@pytest.mark.parametrize("role", TARGETS)
def test_what_a_page_opens_is_the_studys(study, scale, role):
    """In plain torch, the numbers of the tables: a line's end, and the middle between two of one init."""
    opened, (first, *second) = (by_role[role] for by_role in study[3])
    lines = study[0]["interpolation"].query("role == @role and init == 'RI-T' and init_b == 'RI-T'")
    lines = lines.query("seed == 0 and seed_b == 1 and checkpoint == 'final' and rate == 'high'")
    at = lines.set_index(["pairing", "alpha", "split", "metric"]).value
    assert opened.metric(first) == at["independent", 0, "test", scale.metric[role]]
    assert opened.loss(first, "train") == pytest.approx(at["independent", 0, "train", "loss"])
    if second:
        half = {name: (first[name] + second[0][name]) / 2 for name in first}
        assert opened.loss(half) == pytest.approx(at["same_init", 0.5, "test", "loss"], rel=1e-5)
    assert np.isnan(opened.metric({name: tensor * float("nan") for name, tensor in first.items()}))


def test_what_is_not_trained_cannot_be_opened(scale, refused):
    refused("not on this machine", Opened(scale, "real").weights, "RI-T", 7)


def test_smoke_costs_what_it_may():
    smoke = scales.get("smoke")
    known = {spec.id for spec in feature_reuse.runs(smoke, scales.TARGETS, smoke.seeds)}
    new = [s for s in loss_landscape.runs(smoke, scales.TARGETS, smoke.seeds) if s.id not in known]
    assert sum(spec.passes for spec in new) <= 200_000
    laptop = scales.get("laptop")
    assert laptop.landscape.detailed_pairs >= 3
