"""Figures of question 5 on made-up tables: they show what the tables say, in words and units."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_up_checkpoints import CHECKPOINTS, ROLES, downstream, source_accuracy, tables, upstream
from matplotlib.colors import to_hex

from tlbook.evidence import paper, style
from tlbook.questions.checkpoints import figures, method, summaries


@pytest.fixture(scope="module", autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def found():
    return tables(("real", "xray"), noise=0.0)


def every_figure(found) -> dict:
    """One call for each figure, by name."""
    tuned, source = found["finetuned"], found["source_accuracy"]
    fits, curves = found["saturation"], found["saturation_curve"]
    return {
        "finetuned": lambda: figures.finetuned(tuned, source),
        "speed": lambda: figures.finetuned(tuned, source, what="speed"),
        "gap": lambda: figures.gap_to_last(found["behind_last"], paper.figure7()),
        "saturation": lambda: figures.saturation(tuned, source, fits, curves),
        "constant": lambda: figures.constant_rate(tuned, source, found["constant_rate"]),
        "one": lambda: figures.one_checkpoint(tuned, source, found["tuning_curves"], "xray", 5),
    }


NAMES = ("finetuned", "speed", "gap", "saturation", "constant", "one")


@pytest.fixture(scope="module")
def drawn(found):
    return {name: draw() for name, draw in every_figure(found).items()}


def panels(figure) -> dict:
    return {ax.get_title(): ax for ax in figure.axes if ax.get_title()}


def points(ax, colour) -> np.ndarray:
    """All finite points in a colour, (n, 2)."""
    lines = [line for line in ax.get_lines() if to_hex(line.get_color()).upper() == colour]
    found = np.concatenate([np.column_stack(line.get_data()).astype(float) for line in lines])
    return found[np.isfinite(found).all(1)]


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_names_its_axes_and_has_a_text_for_who_cannot_see_it(drawn, name):
    figure = drawn[name]
    assert len(figure.alt.split()) >= 6 and "\n" not in figure.alt
    assert figure.get_facecolor() == (1, 1, 1, 1)
    for title, ax in panels(figure).items():
        assert ax.get_xlabel() and ax.get_ylabel()
        assert name == "gap" or ("AUC" in ax.get_ylabel()) == title.startswith("xray")


def test_figure_7_joins_means_at_the_better_rate(drawn):
    wanted = np.array([downstream(epoch) - 5 * (epoch == 1) for epoch in CHECKPOINTS])
    for role, unit in (("real", 1), ("xray", 100)):
        ax = panels(drawn["finetuned"])[role]
        line = next(line for line in ax.get_lines() if len(line.get_xdata()) == len(CHECKPOINTS))
        np.testing.assert_allclose(line.get_ydata(), wanted / unit)
        np.testing.assert_allclose(line.get_xdata(), np.array(CHECKPOINTS) / max(CHECKPOINTS))


def test_figure_7_says_which_rate_it_was_without_colour(drawn):
    """From checkpoint 1 the high rate is better on dev: a full mark up there, hollow ones elsewhere."""
    ax = panels(drawn["finetuned"])["real"]
    marks = [line for line in ax.get_lines() if line.get_marker() in ("v", "^")]
    full = {(round(float(m.get_xdata()[0]) * max(CHECKPOINTS)), m.get_marker()) for m in marks
            if to_hex(m.get_markerfacecolor()) != "#ffffff"}  # fmt: skip
    assert full == {(epoch, "^" if epoch == 1 else "v") for epoch in CHECKPOINTS}
    assert len(marks) == 2 * len(CHECKPOINTS)


def test_figure_7_shades_the_source_and_marks_the_drops(drawn):
    figure = drawn["finetuned"]
    shades = [ax for ax in figure.axes if ax.collections and not ax.get_title()]
    heights = shades[0].collections[0].get_paths()[0].vertices
    assert heights[:, 1].max() == pytest.approx(upstream(30))
    assert [ax.get_ylabel() for ax in shades] == ["source accuracy (%)"] * 2
    lines = panels(figure)["real"].get_lines()
    places = [line.get_xdata()[0] for line in lines if line.get_linestyle() == ":"]
    assert places == [10.5 / 30, 20.5 / 30]
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["better rate: low", "better rate: high", "the other rate", "random weights",
                     "source accuracy (right axis)", "pre-training's rate drops"]  # fmt: skip


def test_speed_is_the_mean_training_metric(drawn):
    shown = panels(drawn["speed"])
    assert set(points(shown["real"], style.INIT_COLOURS["P-T"])[:, 1]) == {85.0, 90.0}
    assert shown["xray"].get_ylabel() == "mean training AUC"


def test_gaps_are_ours_and_the_papers_to_the_last():
    made = tables(("real", "xray"), noise=0.5)
    figure = figures.gap_to_last(made["behind_last"], paper.figure7())
    ax = panels(figure)["real"]
    behind = made["behind_last"].query("role == 'real'")
    ours = points(ax, style.INIT_COLOURS["P-T"])
    np.testing.assert_allclose(ours[:, 1], -behind.value)
    theirs = next(line for line in ax.get_lines() if line.get_marker() == "x")
    last, early = (paper.value("figure7", role="real", checkpoint=c, metric="accuracy") for c in (90, 30))
    assert theirs.get_ydata()[list(theirs.get_xdata()).index(1 / 3)] == pytest.approx(early - last)
    rings = [line for line in ax.get_lines() if line.get_markersize() == figures.RING["markersize"]]
    first = summaries.good_enough(made["behind_last"], source_accuracy()).iloc[0].checkpoint
    assert [ring.get_xdata()[0] for ring in rings] == [int(first) / 30]
    assert not [line for line in panels(figure)["xray"].get_lines() if line.get_marker() == "x"]


def test_saturation_names_the_weights_of_its_fits(found, drawn):
    ax = panels(drawn["saturation"])["real"]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    weights = found["saturation"].query("role == 'real' and metric == 'weight'").value
    assert texts == [f"{model}: {w:.2f}" for model, w in zip(method.MODELS, weights, strict=True)]
    means = points(ax, style.INIT_COLOURS["P-T"])
    assert means[:, 0].min() == pytest.approx(upstream(1))  # random weights are left out
    assert panels(drawn["saturation"])["xray"].get_ylim()[1] < 1


def test_the_second_pre_training_stands_beside_p(drawn):
    shown = panels(drawn["constant"])
    assert list(shown) == ["source", "real", "xray"]
    second = points(shown["source"], style.OTHER_P)
    assert second[:, 0].max() == 15 and second[:, 1].max() < upstream(11)
    assert set(points(shown["real"], style.OTHER_P)[:, 0]) == {10, 11, 15}


def test_the_explorer_keeps_its_axes_and_shows_every_run(found):
    three = [found[name] for name in ("finetuned", "source_accuracy", "tuning_curves")]
    shown = [figures.one_checkpoint(*three, "real", epoch) for epoch in (0, 1, 30)]
    assert len({(f.axes[1].get_ylim(), f.axes[2].get_ylim(), f.axes[0].get_xlim()) for f in shown}) == 1
    for figure, epoch in zip(shown, (0, 1, 30), strict=True):
        ends = [y for line in figure.axes[2].get_lines() if line.get_marker() in ("v", "^")
                for y in line.get_ydata()]  # fmt: skip
        rows = found["finetuned"].query("role == 'real' and split == 'test'")
        assert sorted(ends) == pytest.approx(sorted(rows.value[rows.checkpoint == epoch]))
    assert "random weights" in shown[0].axes[1].get_title()
    assert list(figures.frames(found, "real")) == list(map(str, CHECKPOINTS))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lost", ["a run", "one seed, one rate", "the source"])
def test_values_that_are_missing_do_not_stop_a_figure(name, lost):
    """A diverged run, a small study, or checkpoints of a reader's own; the rest is drawn."""
    made = tables(("real", "xray"))
    tuned, source = made["finetuned"], made["source_accuracy"]
    if lost == "a run":
        run = (tuned.seed == 1) & (tuned.rate == "low") & (tuned.checkpoint == 5) & (tuned.role == "xray")
        tuned.loc[run, "value"] = np.nan
    elif lost == "one seed, one rate":
        tuned = tuned[(tuned.seed == 0) & (tuned.rate == "low")]
    elif name != "saturation":  # where the source is unknown, there is no such table
        source = source[source.metric == "accuracy"].assign(value=np.nan)
    made |= {"finetuned": tuned, "source_accuracy": source, "behind_last": method.behind_last(tuned)}
    figure = every_figure(made)[name]()
    figure.canvas.draw()
    assert panels(figure)


def test_all_roles_have_a_panel():
    made = tables(noise=0.0)
    shown = panels(figures.finetuned(made["finetuned"], made["source_accuracy"]))
    assert tuple(shown) == ROLES
