"""Question 2: its study on tiny runs against other ways to the same numbers, its summaries and figures."""

import types
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from matplotlib.colors import to_hex

from tlbook import data, questions, tables, vocabulary
from tlbook.book import pages, records, results
from tlbook.data import batches
from tlbook.evidence import paper, style
from tlbook.evidence.statements import evaluate
from tlbook.questions import grid
from tlbook.questions.differences import figures as figures
from tlbook.questions.differences import study as differences
from tlbook.questions.differences import summaries as pairs
from tlbook.questions.differences.method import features, similarity
from tlbook.questions.feature_reuse import study as feature_reuse
from tlbook.questions.setup import study as setup
from tlbook.training import runs

TARGETS, SEEDS = ("quickdraw", "xray"), (0, 1)
PAIR = ["init", "rate", "seed", "init_b", "rate_b", "seed_b"]
MIXED = dict(init="P-T", rate="low", seed=0, init_b="RI-T", rate_b="high", seed_b=1)
WITH_P = dict(init="P-T", rate="low", seed=0, init_b="P", rate_b="-", seed_b=0)
TWO_P_T = dict(init="P-T", rate="low", seed=0, init_b="P-T", rate_b="low", seed_b=1)
pytestmark = pytest.mark.filterwarnings(
    "ignore::tlbook.questions.differences.method.similarity.ConstantFeatures"
)


@pytest.fixture(scope="module")
def study(tiny, own_folders):
    """The tiny study, its networks and their logits on the test images."""
    with own_folders():
        found = results.run(questions.get("differences"), tiny, TARGETS, SEEDS, workers=1, show=False)
        own = {
            (role, *key): runs.ensure(grid.of_init(tiny, key[0], role, key[1], key[2])).weights("final")
            for role in TARGETS
            for key in (("P-T", "low", 0), ("P-T", "low", 1), ("RI-T", "high", 0), ("RI-T", "high", 1))
        }
        own["P"] = runs.weights(grid.pretrained(tiny))
        yield found, own
    plt.close("all")


@pytest.fixture
def found(study):
    return study[0].tables


def rows(table, **where):
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    return table


def test_images(tiny, role):
    domain = data.load(data.request(tiny, role))
    task = tiny.task(role)
    spec = grid.p_t(tiny, role, "low", 0)
    view = batches.View.of(domain, tiny.side, task.normalisation, spec.shuffle)
    return domain, list(batches.evaluation(domain.test, view))


test_images.__test__ = False


def wrong(tiny, study, role, *key):
    """Where a run is wrong, (n,) or (n, k), computed here."""
    domain, shown = test_images(tiny, role)
    model = differences.network(tiny.network, study[1][role, *key])
    with torch.no_grad():
        logits = torch.cat([model(images) for images, _ in shown])
    labels = domain.test.labels
    said = (logits > 0).float() if domain.multilabel else logits.argmax(1)
    return (said != labels).numpy()


# The study


def test_tables_are_valid_and_all_there(found):
    assert set(found) == set(questions.get("differences").tables)
    for name, frame in found.items():
        assert len(tables.check(questions.tables()[name], frame))


def test_nothing_is_trained_that_question_1_does_not_train(tiny):
    own = {spec.id for spec in differences.runs(tiny, TARGETS, SEEDS)}
    assert own < {spec.id for spec in feature_reuse.runs(tiny, TARGETS, SEEDS)}


def test_which_pairs_are_compared(found):
    """quickdraw has both rates on one seed, xray one rate an init."""
    for role, second in (("quickdraw", True), ("xray", False)):
        own = rows(found["distance"], role=role)
        kinds = own.drop_duplicates(PAIR).groupby(["init", "rate", "init_b", "rate_b"]).size().to_dict()
        wanted = {
            ("P-T", "low", "P-T", "low"): 1, ("RI-T", "high", "RI-T", "high"): 1,
            ("P-T", "low", "RI-T", "high"): 4, ("P-T", "low", "P", "-"): 2, ("RI-T", "high", "P", "-"): 2,
        }  # fmt: skip
        if second:
            wanted |= {
                ("P-T", "low", "RI-T", "low"): 2, ("P-T", "high", "RI-T", "high"): 2,
                ("P-T", "high", "P", "-"): 1, ("RI-T", "low", "P", "-"): 1,
            }  # fmt: skip
        assert kinds == wanted
        without_p = {kind: count for kind, count in wanted.items() if kind[2] != "P"}
        shared = rows(found["mistakes"], role=role, metric="shared")
        assert shared.groupby(["init", "rate", "init_b", "rate_b"]).size().to_dict() == without_p


@pytest.mark.parametrize("role", TARGETS)
def test_mistakes_are_those_of_the_runs(study, found, tiny, role):
    first, second = wrong(tiny, study, role, "P-T", "low", 0), wrong(tiny, study, role, "RI-T", "high", 1)
    value = rows(found["mistakes"], role=role, **MIXED).set_index("metric").value
    both = (first & second).sum()
    assert value["shared"] == pytest.approx(both / (first | second).sum())
    assert value["only_first_wrong"] == pytest.approx((first & ~second).mean())
    assert value["kappa_low"] <= value["kappa"] <= value["kappa_high"]


def test_error_rates_are_those_that_training_measured(study, found, tiny):
    curves = study[0].beside["learning_curves"]
    end = rows(curves, role="quickdraw", init="P-T", rate="low", seed=0, split="test", metric="accuracy")
    value = rows(found["mistakes"], role="quickdraw", **MIXED).set_index("metric").value
    rate = value["only_first_wrong"] + value["both_wrong"]
    assert 100 * (1 - rate) == pytest.approx(end.value[end.epoch == end.epoch.max()].item(), abs=1e-4)


def test_difficulty_is_measured_by_models_outside_the_pair(study, found, tiny):
    first, second = wrong(tiny, study, "xray", "P-T", "low", 0), wrong(tiny, study, "xray", "RI-T", "high", 1)
    others = [wrong(tiny, study, "xray", "P-T", "low", 1), wrong(tiny, study, "xray", "RI-T", "high", 0)]
    hard = np.mean(others, axis=0)
    own = rows(found["mistake_difficulty"], role="xray", **MIXED).set_index("examples")
    masks = {
        "only_first_wrong": first & ~second,
        "only_second_wrong": ~first & second,
        "both_wrong": first & second,
    }
    for name, mask in masks.items():
        assert own["count"][name] == mask.sum()
        assert own.value[name] == pytest.approx(hard[mask].mean(), nan_ok=True)
    test = rows(found["difficulty_test"], role="xray", metric="difference", **MIXED).set_index("judges").value
    for judges, one in zip(("P-T", "RI-T"), others, strict=True):
        wanted = one[masks["only_first_wrong"]].mean() - one[masks["only_second_wrong"]].mean()
        assert test[judges] == pytest.approx(wanted, nan_ok=True)


def test_similarity_is_cka_of_the_modules_outputs(study, found, tiny):
    _, shown = test_images(tiny, "quickdraw")
    one, p = (
        features.outputs(differences.network(tiny.network, state), shown, ("layer2", "layer4"))
        for state in (study[1]["quickdraw", "P-T", "low", 0], study[1]["P"])
    )
    own = rows(found["similarity"], role="quickdraw", **WITH_P)
    with pytest.warns(similarity.ManyFeatures):
        same, cross = similarity.cka(one["layer4"], p["layer4"]), similarity.cka(one["layer2"], p["layer4"])
        debiased = similarity.cka(one["layer4"], p["layer4"], debiased=True)
    value = own.set_index(["module", "module_b", "metric"]).value
    assert value["layer4", "layer4", "cka"] == pytest.approx(same, abs=1e-5)
    assert value["layer2", "layer4", "cka"] == pytest.approx(cross, abs=1e-5)
    assert value["layer4", "layer4", "cka_debiased"] == pytest.approx(debiased, abs=1e-5)
    positions = [features.rows(x["layer4"], 10**6).numpy() for x in (one, p)]
    assert value["layer4", "layer4", "cka_positions"] == pytest.approx(similarity.cka(*positions), abs=1e-5)
    assert value["layer4", "layer4", "neighbours_null"] == pytest.approx(10 / 39)


def test_features_are_those_that_the_table_says(found):
    shapes = rows(found["feature_shapes"], role="xray").set_index("module")
    assert shapes.loc["layer4", ["channels", "positions", "features"]].tolist() == [64, 4, 256]
    assert shapes.positions_used["layer4"] == 4 * shapes.images["layer4"] == 4 * 40


def test_distances_start_from_what_is_shared(found):
    """Before training two P-T share all but fc, and are P; two RI-T share nothing."""
    start = rows(found["distance"], role="quickdraw", epoch=0, metric="l2")
    value = {
        name: rows(start, **where).set_index("module").value
        for name, where in (("P", WITH_P), ("two", TWO_P_T), ("mixed", MIXED))
    }
    assert value["P"]["all"] == 0 and value["two"]["body"] == 0
    assert value["two"]["all"] == pytest.approx(value["two"]["fc"]) and value["two"]["fc"] > 0
    assert value["mixed"]["body"] > 1


def test_distances_are_those_of_the_weights(study, found):
    one, two = study[1]["xray", "P-T", "low", 0], study[1]["xray", "P-T", "low", 1]
    squares = sum((one[name] - two[name]).double().square().sum().item() for name in one)
    own = rows(found["distance"], role="xray", metric="l2", module="all", **TWO_P_T)
    assert own.epoch.tolist() == [0, 1, 2, 3]
    assert own.value.iloc[-1] == pytest.approx(squares**0.5, rel=1e-6)


def test_ends_of_runs_of_different_lengths_are_compared_too():
    kept = {("P-T", "low", 0): [0, 1, 2, 4, 6], ("RI-T", "high", 0): [0, 1, 2, 4, 8, 12]}
    kept_by = {key: types.SimpleNamespace(kept=lambda epochs=epochs: epochs) for key, epochs in kept.items()}
    first, second = kept
    found = differences._epochs(kept_by, (first, second))
    assert found == [(epoch, epoch) for epoch in (0, 1, 2, 4)] + [(6, 12)]
    assert differences._epochs(kept_by, (second, differences.P))[-1] == (12, 12)


def test_many_images_come_in_equal_chunks(tiny, monkeypatch):
    def parts(there, wanted):
        domain = types.SimpleNamespace(test=range(there))
        return differences.Opened(tiny.replace(similarity_images=wanted), domain, None, {}).parts()

    assert [len(part) for part in parts(900, 10**6)] == [900]
    monkeypatch.setattr(differences, "CHUNK", 300)
    several = parts(1001, 901)
    assert [len(part) for part in several] == [226, 225, 225, 225]
    assert several[0][0] == 0 and several[-1][-1] == 1000


def test_modules_are_asked_for_in_groups_that_fit():
    sizes = {"a": 5, "b": 5, "c": 11, "d": 2, "e": 2}
    assert differences._within(10, sizes) == [["a", "b"], ["c"], ["d", "e"]]


def test_a_small_memory_changes_nothing(study, tiny, monkeypatch):
    """Modules that do not fit together are asked for one by one."""
    calls = []
    whole = features.outputs
    monkeypatch.setattr(
        features, "outputs", lambda m, b, names: calls.append(len(names)) or whole(m, b, names)
    )
    domain = data.load(data.request(tiny, "xray"))
    view = batches.View.of(domain, tiny.side, "own", grid.p_t(tiny, "xray", "low", 0).shuffle)
    here = differences.Opened(tiny, domain, view, {})
    model = {"m": differences.network(tiny.network, study[1]["xray", "P-T", "low", 0])}
    monkeypatch.setattr(differences, "MEMORY", 4 * 40 * 2048)
    names = model["m"].places()
    shown = {name: out for _, name, out in differences._outputs(here, model, names, np.arange(40))}
    assert list(shown) == list(names) and calls[1:] == [1, 1, 4]


def test_examples_are_named_and_never_shown(study, found, tiny, monkeypatch):
    table = found["mistake_examples"]
    own = rows(table, role="xray")
    domain = data.load(data.request(tiny, "xray"))
    first = own.iloc[0]
    wanted = [(first.path, first.digest), (first.path, "another digest"), ("no/such", first.digest)]
    pictures = setup.pictures(tiny, "xray", wanted)
    image, other, missing = (pictures.get(file) for file in wanted)
    at = domain.test.paths.index(first.path)
    assert (image == domain.test.images[at].permute(1, 2, 0).numpy()).all()
    assert other is None and missing is None
    assert own.answer.str.fullmatch(r".+: (yes|no)").all()
    single = rows(table, role="quickdraw")
    right = single[single.examples == "both_right"]
    assert (right.answer == right.prediction).all() and (right.answer == right.prediction_b).all()
    only = single[single.examples == "only_first_wrong"]
    assert (only.answer != only.prediction).all() and (only.answer == only.prediction_b).all()
    assert single.groupby("examples").size().max() <= differences.SHOWN


def test_one_run_of_each_kind_is_enough_for_the_tables(tiny):
    """Nobody is outside the comparison then, so difficulty is unknown."""
    found = differences.tables(tiny, ("xray",), (0,), workers=1, show=False)
    for name, frame in found.items():
        tables.check(questions.tables()[name], frame)
    assert found["mistake_difficulty"].value.isna().all() and len(found["mistakes"])
    assert figures.judges(found["difficulty_test"])
    assert figures.difficulty(found["mistake_difficulty"])


def test_a_set_without_test_images_is_refused_before_training(tiny, refused):
    import dataclasses

    tasks = {**tiny.tasks, "real": dataclasses.replace(tiny.tasks["real"], test=0)}
    refused(
        "embedded/real has no test images", differences.tables, tiny.replace(tasks=tasks), ("real",), (0,)
    )
    assert not runs.every()


# What its claims read


def test_claims_have_a_value_wherever_there_are_runs(study):
    found = study[0]
    judged = evaluate(questions.get("differences").claims, found.beside | found.tables)
    own = judged[judged.targets == "xray"]  # of the others, targets are missing
    assert len(own) == 4 and set(own.verdict) == {"not tested"} and own.value.notna().all()  # two seeds


def test_the_gate_reads_question_1s_curves_of_finished_runs(study, tiny):
    found = study[0]
    assert set(found.beside) == {"learning_curves", "domains"} and not set(found.beside) & set(found.tables)
    curves = found.beside["learning_curves"]
    assert set(curves.role) == set(TARGETS) and set(curves.init) == {"P-T", "RI-T"}
    assert feature_reuse.finished_curves(tiny.replace(epochs=7), TARGETS, SEEDS).empty  # and trains nothing
    cut = results.only(found, ("xray",))
    assert set(cut.beside["learning_curves"].role) == {"xray"} == set(cut.tables["mistakes"].role)
    notes = evaluate(questions.get("differences").claims, found.beside | found.tables).note
    assert notes.str.contains("runs that fit their training set").any()


def test_recorded_results_read_recorded_curves(study, monkeypatch, tmp_path):
    found = study[0]
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    monkeypatch.setattr(records, "PILOT", tmp_path / "pilot")
    records.write("laptop", "differences", found.tables, found.provenance, tmp_path)
    assert results.recorded(questions.get("differences"), "laptop").beside == {}
    curves = {name: found.beside[name] for name in ("learning_curves", "domains")}
    records.write("laptop", "feature_reuse", curves, found.provenance, tmp_path)
    again = results.recorded(questions.get("differences"), "laptop")
    assert again.recorded and len(again.beside["learning_curves"]) == len(curves["learning_curves"])
    for name, frame in again.tables.items():
        assert len(frame) == len(found.tables[name])
    assert results.recorded(questions.get("feature_reuse"), "laptop").beside == {}


def test_verdicts_on_a_page_use_the_curves(study):
    shown = BeautifulSoup(pages.verdicts({"build": study[0]}, "differences")._repr_html_(), "html.parser")
    assert "learning_curves is not recorded" not in shown.text and "not judged" in shown.text


# Summaries


def test_summaries_say_what_the_tables_say(found):
    by_module = pairs.similarity_by_module(found["similarity"], paper.table1())
    assert list(dict.fromkeys(by_module.module)) == ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
    row = rows(by_module, role="xray", pair="P-T & RI-T", module="layer3").iloc[0]
    values = vocabulary.at_papers_rates(
        rows(found["similarity"], role="xray", module="layer3", module_b="layer3")
    )
    values = rows(values, init="P-T", init_b="RI-T", metric="cka").value
    assert (row.n, row["mean"]) == (4, pytest.approx(values.mean()))
    assert row.paper == paper.value("table1", init="P-T", init_b="RI-T", module="layer3")
    mistakes = pairs.mistakes_by_kind(found["mistakes"])
    assert list(mistakes[mistakes.role == "xray"].pair) == ["P-T & P-T", "P-T & RI-T", "RI-T & RI-T"]
    assert list(mistakes.n) == [1, 4, 1] * 2


def test_table_1_is_the_papers_with_its_values_in_brackets(found):
    shown = pairs.table_1(found["similarity"], paper.table1())
    assert list(shown) == ["xray", "quickdraw"]  # opens on the one that the paper has
    table = shown["xray"].set_index("pair")
    assert list(table.columns) == ["conv1", "layer1", "layer2", "layer3", "layer4"]
    assert list(table.index) == ["P-T & P-T", "P-T & RI-T", "RI-T & RI-T", "P-T & P"]
    own = vocabulary.at_papers_rates(rows(found["similarity"], role="xray", init="P-T", init_b="P"))
    mean = rows(own, module="conv1", module_b="conv1", metric="cka").value.mean()
    assert table.loc["P-T & P", "conv1"] == f"{mean:.3g} (0.623)"
    assert "(" not in shown["quickdraw"].to_string()
    assert "fc" in pairs.table_1(found["similarity"], paper.table1().iloc[:0])["xray"]


def test_table_2_is_the_papers_with_its_values_in_brackets(found):
    table = pairs.table_2(found["distance"], paper.table2()).set_index("role")
    last = vocabulary.at_last_epoch(rows(found["distance"], module="all", metric="l2_sum", role="xray"))
    mean = vocabulary.at_papers_rates(rows(last, init="RI-T", init_b="RI-T")).value.mean()
    assert table.loc["xray", "RI-T & RI-T"] == f"{mean:.3g} (255)"
    assert list(table.index) == ["quickdraw", "xray"] and "(" not in table.loc["xray", "P-T & RI-T"]


def test_ratios_compare_like_with_like():
    at = dict(role="real", seed=0, seed_b=1, epoch=9, module="all")
    sizes = {("P-T", "low"): 2.0, ("P-T", "high"): 4.0, ("RI-T", "low"): 6.0, ("RI-T", "high"): 10.0}
    table = [
        at | dict(init=init, rate=rate, init_b=init, rate_b=rate, metric=metric, value=value / shrink)
        for (init, rate), value in sizes.items()
        for metric, shrink in (("l2_sum", 1), ("l2", 4))
    ]
    early = [row | {"epoch": 1, "value": 99.0} for row in table]
    found = pairs.distance_ratios(pd.DataFrame(table + early), paper.table2()).set_index("ratio")
    row = found.loc["RI-T & RI-T / P-T & P-T"]
    assert row[["ours", "ours, root", "both low", "both high"]].tolist() == [5, 5, 3, 2.5]
    printed = [paper.value("table2", role="real", init=i, init_b=i) for i in ("RI-T", "P-T")]
    assert row.paper == pytest.approx(printed[0] / printed[1])
    assert found.loc["RI-T & P / P-T & P", ["ours", "both low"]].isna().all()


# Figures

DRAWN = {
    "mistakes": lambda t: figures.mistakes(t["mistakes"]),
    "kappa": lambda t: figures.mistakes(t["mistakes"], "kappa"),
    "difficulty": lambda t: figures.difficulty(t["mistake_difficulty"]),
    "judges": lambda t: figures.judges(t["difficulty_test"]),
    "layers": lambda t: figures.layers(t["similarity"]),
    "neighbours": lambda t: figures.layers(t["similarity"], measure="neighbours"),
    "distances": lambda t: figures.distances(t["distance"]),
    "along_training": lambda t: figures.along_training(t["distance"]),
}
ONE = {
    "layer_by_layer": lambda t: figures.layer_by_layer(t["similarity"], "xray", "P-T & P"),
}


def panels(figure):
    return {ax.get_title(): ax for ax in figure.axes if ax.get_title()}


@pytest.mark.parametrize("name", [*DRAWN, *ONE])
def test_figures_are_labelled_and_described(found, name):
    figure = (DRAWN | ONE)[name](found)
    figure.canvas.draw()
    assert len(figure.alt) > 20
    if name in DRAWN:
        assert list(panels(figure)) == list(TARGETS)
        assert all(ax.get_xlabel() or ax.get_ylabel() for ax in panels(figure).values())


@pytest.mark.parametrize("name", [*DRAWN, *ONE])
def test_values_that_are_missing_do_not_stop_a_figure(found, name):
    """A diverged run: its features and distances are NaN."""
    broken = {key: frame.copy() for key, frame in found.items()}
    for key, frame in broken.items():
        if key not in ("mistake_examples", "feature_shapes"):
            lost = (frame.init == "P-T") & (frame.seed == 0)
            frame.loc[lost, "value"] = np.nan
    (DRAWN | ONE)[name](broken).canvas.draw()


def test_distances_of_every_pair_are_drawn_and_hollow_away_from_the_papers_rates(found):
    ax = panels(figures.distances(found["distance"]))["quickdraw"]
    shown = {line.get_label(): sorted(line.get_xdata()) for line in ax.get_lines()}
    hollow = {line.get_label() for line in ax.get_lines() if to_hex(line.get_markerfacecolor()) == "#ffffff"}
    last = vocabulary.at_last_epoch(rows(found["distance"], role="quickdraw", module="all", metric="l2_sum"))
    assert sorted(x for points in shown.values() for x in points) == pytest.approx(sorted(last.value))
    assert hollow == {"P-T low & RI-T low", "P-T high & RI-T high", "P-T high & P", "RI-T low & P"}
    assert list(shown)[0] == "2 P-T low" and "2 RI-T high" in shown


def test_lines_are_means_over_pairs_and_grey_is_the_null(found):
    ax = panels(figures.layers(found["similarity"]))["xray"]
    lines = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    own = rows(found["similarity"], role="xray", module="layer1", module_b="layer1")
    mixed = rows(own, init="P-T", init_b="RI-T", metric="cka").value
    assert lines["P-T & RI-T"][1] == pytest.approx(mixed.mean())
    assert lines["examples permuted"][1] == pytest.approx(rows(own, metric="cka_null").value.mean())


def test_heat_map_has_the_first_model_on_the_vertical_axis(found):
    figure = figures.layer_by_layer(found["similarity"], "xray", "P-T & P")
    image = figure.axes[0].get_images()[0].get_array()
    own = rows(found["similarity"], role="xray", init="P-T", init_b="P", metric="cka")
    wanted = rows(own, module="conv1", module_b="layer2").value.mean()
    assert image[5, 2] == pytest.approx(wanted)  # conv1 is at the bottom, layer2 third from the left
    assert figure.axes[0].get_ylabel() == "module of P-T" and figure.axes[0].get_xlabel() == "module of P"


def test_gallery_shows_these_very_images(study, found, tiny):
    own = rows(found["mistake_examples"], role="quickdraw", examples="both_wrong")
    wanted = list(zip(own.path, own.digest, strict=True))
    images = setup.pictures(tiny, "quickdraw", wanted)
    figure = figures.gallery(own, images)
    drawn = [image.get_array() for image in figure.axes[0].get_images()]
    assert len(drawn) == len(own) and (drawn[0] == images[wanted[0]]).all()
    words = figure.axes[0].texts[0].get_text()
    assert (
        own.answer.iloc[0] in words
        and f"P-T: {own.prediction.iloc[0]} ({own.confidence.iloc[0]:.2f})" in words
    )


def test_gallery_on_a_page_falls_back_to_words(study, tiny, monkeypatch):
    build = {"build": study[0]}
    draw = partial(pages.gallery, build, tiny, figures.gallery, figures.SETS)
    page = BeautifulSoup(draw()._repr_html_(), "html.parser")
    assert len(page.select("img")) >= 4
    monkeypatch.setattr(setup, "pictures", lambda *_: {})
    page = BeautifulSoup(draw()._repr_html_(), "html.parser")
    assert not page.select("img") and ".png" not in page.text
    heads = {tuple(th.text for th in table.select("th")) for table in page.select("table")}
    assert heads == {("image", "difficulty", "P-T", "RI-T")}


def test_pairs_can_be_told_apart():
    assert set(style.PAIR_COLOURS) == set(style.PAIR_MARKERS) == set(vocabulary.PAIR_KINDS)
    assert (
        len(set(style.PAIR_COLOURS.values()))
        == len(set(style.PAIR_MARKERS.values()))
        == len(vocabulary.PAIR_KINDS)
    )
