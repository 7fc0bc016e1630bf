"""Figures of question 1's controls on made-up tables: what they show, in words and units."""

import functools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_up import ROLES, controls
from matplotlib.colors import to_hex
from test_figures import drawn, legend_texts, luminance, panels

from tlbook import questions, tables
from tlbook.evidence import style
from tlbook.questions.controls import figures as figures
from tlbook.questions.controls.summaries import few_images_to_read
from tlbook.scales import CONTROLS, INITS


@pytest.fixture(scope="module", autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def found():
    made = controls()
    for name, frame in made.items():
        tables.check(questions.tables()[name], frame[questions.tables()[name].names])
    return made


def every_figure(found) -> dict:
    return {
        "curves": lambda: figures.curves(found["control_curves"]),
        "remains": lambda: figures.remains(found["lead"]),
        "shuffled": lambda: figures.shuffled(found["control_shuffle"]),
        "distances": lambda: figures.distances(found["domain_distance"]),
        "by_images": lambda: figures.by_images(found["domain_distance"]),
        "gain": lambda: figures.gain_by_distance(found["gain"], found["domain_distance"]),
        "few_images": lambda: figures.few_images(found["few_images"]),
        "worth": lambda: figures.worth_by_images(found["few_images"]),
        "speed": lambda: figures.few_images(found["few_images"], "speed"),
    }


CLIPART = style.ROLE_COLOURS["clipart"]
NAMES = tuple(every_figure(dict.fromkeys(questions.get("controls").tables)))


@pytest.fixture(scope="module")
def figure_of(found):
    """Each figure of the unchanged tables, by name, drawn once."""
    return functools.cache(lambda name: every_figure(found)[name]())


@functools.cache
def broken(lost: str) -> dict:
    """Tables of two roles that lack a run's values, or everything but one seed of P-T and RI-T."""
    found = controls(("real", "xray"))
    for name, frame in found.items():
        if lost == "a run" and "init" in frame:
            frame.loc[(frame.init == "P-T") & (frame.seed == 1), "value"] = np.nan
        if lost == "most runs" and "seed" in frame:
            kept = frame[frame.seed == 0]
            found[name] = kept[~kept.init.isin(CONTROLS)] if "init" in kept else kept
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_names_its_axes_and_has_a_text_for_who_cannot_see_it(figure_of, name):
    figure = figure_of(name)
    figure.canvas.draw()
    assert len(figure.alt.split()) >= 6 and "\n" not in figure.alt
    assert any(ax.get_xlabel() for ax in figure.axes)
    assert any(ax.get_ylabel() or ax.get_yticklabels() for ax in figure.axes)
    assert figure.get_facecolor() == (1, 1, 1, 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lost", ["a run", "most runs"])
def test_values_that_are_missing_do_not_stop_a_figure(name, lost):
    every_figure(broken(lost))[name]().canvas.draw()


def test_colours_can_be_told_apart():
    assert len(set(figures.COLOURS.values())) == 4
    assert len(set(figures.MARKERS.values())) == 4 and set(figures.MARKERS) == {*INITS, *CONTROLS}
    assert all(1.05 / (luminance(colour) + 0.05) >= 3 for colour in style.CONTROL_COLOURS.values())


def test_curves_and_blocks_show_four_inits_in_each_roles_metric(figure_of):
    for name in ("curves", "shuffled"):
        figure = figure_of(name)
        assert tuple(panels(figure)) == ROLES and legend_texts(figure) == [*INITS, *CONTROLS]
        labels = [ax.get_ylabel() for ax in panels(figure).values()]
        assert labels == ["test accuracy (%)"] * 3 + ["test AUC"]
    ax = panels(figure_of("curves"))["real"]
    ends = {init: drawn(ax, colour)[-1, 1] for init, colour in figures.COLOURS.items()}
    assert ends == pytest.approx({"P-T": 80, "RI-T": 60, "MeanVar-T": 70, "Permuted-T": 70})


def test_roles_without_a_control_are_left_out_if_any_has_one(found):
    curves = found["control_curves"]
    some = curves[(curves.role == "real") | ~curves.init.isin(CONTROLS)]
    assert tuple(panels(figures.curves(some))) == ("real",)


def test_leads_stand_against_ri_t_at_zero(figure_of):
    ax = panels(figure_of("remains"))["xray"]
    p_t = drawn(ax, style.INIT_COLOURS["P-T"])
    assert p_t[np.argmin(p_t[:, 1]), 0] == pytest.approx(20)  # hundredths of AUC, at the end
    assert drawn(ax, style.CONTROL_COLOURS["MeanVar-T"])[:, 0].max() == pytest.approx(10)


def test_distances_are_the_kernels_over_the_sources_own(figure_of):
    figure = figure_of("distances")
    ax = figure.axes[0]
    (marks,) = (line for line in ax.get_lines() if to_hex(line.get_color()).upper() == CLIPART
                and line.get_marker() == style.ROLE_MARKERS["clipart"])  # fmt: skip
    assert sorted(marks.get_ydata()) == pytest.approx([1, 2, 3, 4])
    floor = next(line for line in ax.get_lines() if line.get_label() == "source, other images")
    assert set(floor.get_ydata()) == {0}
    low, high = ax.get_ylim()
    assert low < 0 and high >= max(marks.get_ydata())
    assert legend_texts(figure) == ["source, other images", *ROLES]


def test_bias_falls_with_images_and_the_kernel_has_none(figure_of):
    frechet, kernel = figure_of("by_images").axes
    for role, colour in style.ROLE_COLOURS.items():
        line = drawn(kernel, colour)
        assert line[0, 1] == pytest.approx(line[1, 1]), role
        line = drawn(frechet, colour)
        assert line[0, 1] > line[1, 1]
    texts = [label.get_text() for label in kernel.get_xticklabels()]
    assert texts == ["10", "100"]


def test_gains_stand_at_the_distance_of_the_images(figure_of):
    points, relative = figure_of("gain").axes
    filled = {}
    for line in points.get_lines():
        colour, face = (to_hex(c).upper() for c in (line.get_color(), line.get_markerfacecolor()))
        if colour == face == style.ROLE_COLOURS["quickdraw"] and line.get_marker() == "^":
            filled = dict(np.column_stack(line.get_data()))
    assert filled == pytest.approx({1.5: 20})
    assert "points" in points.get_ylabel() and "%" in relative.get_ylabel()


def test_what_p_is_worth_stands_against_the_images_hollow_where_ri_t_had_not_fitted(found):
    """At the rates of few_images P-T ends 10 points ahead, times 0.7 + count / 1000, for every seed."""
    table = found["few_images"]
    training = (table.role == "real") & (table.init == "RI-T") & (table.split == "train")
    fitted = table.assign(value=table.value.mask(training & (table.metric == "accuracy"), 99.0))
    ax = panels(figures.worth_by_images(fitted))["real"]
    bars, hollow = ax.containers[0][0], ax.lines[-1]
    assert bars.get_ydata() == pytest.approx([10 * (0.7 + count / 1000) for count in (25, 50, 100, 200)])
    assert list(bars.get_xdata()) == [25, 50, 100, 200] and len(hollow.get_xdata()) == 0
    low = panels(figures.worth_by_images(table))["real"]
    assert len(low.lines[-1].get_xdata()) == 4 and low.lines[-1].get_markerfacecolor() == "white"


def test_few_images_rise_and_are_read_off_in_numbers(found, figure_of):
    ax = panels(figure_of("few_images"))["real"]
    heights = drawn(ax, style.INIT_COLOURS["P-T"])
    assert set(heights[:, 0]) == {25, 50, 100, 200}
    assert heights[np.argmax(heights[:, 0]), 1] == pytest.approx(0.9 * 80)
    table = few_images_to_read(found["few_images"])
    assert list(dict.fromkeys(table.role)) == list(ROLES) and list(table.images[:4]) == [25, 50, 100, 200]
    row = table[(table.role == "xray") & (table.images == 200)].iloc[0]
    assert row["lead"] == pytest.approx(100 * 0.9 * (0.8 - 0.7)) and row["n"] == 3
    assert row["RI-T, training"] == pytest.approx(0.9 * 0.7)


def test_filters_are_drawn_on_one_scale_and_keep_their_colours():
    one = np.zeros((5, 3, 3, 3))
    one[0, 0] = 2.0  # a red filter
    figure = figures.filters({"P": one, "RI": one / 2})
    first, second = (ax.get_images()[0].get_array() for ax in figure.axes)
    assert first.shape == (8, 12, 3)  # two rows of three places
    assert first[0, 0].tolist() == [1.0, 0.5, 0.5] and second[0, 0].tolist() == [0.75, 0.5, 0.5]
    assert first[0, 3].tolist() == [1, 1, 1] and first[0, 4].tolist() == [0.5, 0.5, 0.5]
