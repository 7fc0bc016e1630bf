"""Figures of question 4 on made-up tables: they show what the tables say, in words and units."""

import functools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_up_criticality import EPOCHS, FACTORS, FRACTIONS, LOST, MODULES, MU, every_table
from matplotlib.colors import to_hex

from tlbook.evidence import paper, style
from tlbook.questions.criticality import figures

ROLES = ("real", "xray")
UNITS = {"test accuracy lost (points)", "training AUC", r"criticality $\mu$", "train − test AUC"}
BLUE, VERMILLION = style.INIT_COLOURS["P-T"], style.INIT_COLOURS["RI-T"]


@pytest.fixture(scope="module", autouse=True)
def _closed():
    yield
    plt.close("all")


def drawings(found) -> dict:
    """One call for each figure, by name."""
    return {
        "rewinding": lambda: figures.rewinding(found["rewind"], paper.figure5()),
        "redrawing": lambda: figures.rewinding_or_redrawing(found["rewind"]),
        "in time": lambda: figures.rewinding_in_time(found["rewind"]),
        "maps": lambda: figures.noise_maps(found["paths"], "xray", "conv1"),
        "end": lambda: figures.noise_at_the_end(found["paths"]),
        "depth": lambda: figures.over_depth(found["criticality"]),
        "gap": lambda: figures.against_the_gap(found["network_criticality"]),
    }


NAMES = tuple(drawings(dict.fromkeys(("rewind", "paths", "criticality", "network_criticality"))))


@pytest.fixture(scope="module")
def figure_of():
    made = drawings(every_table(ROLES))
    return functools.cache(lambda name: made[name]())


def panels(figure) -> dict:
    return {ax.get_title(): ax for ax in figure.axes if ax.get_title()}


def points(ax, colour) -> np.ndarray:
    """All marks of a colour (x, y), lines without marks left out."""
    lines = [line for line in ax.get_lines() if to_hex(line.get_color()).upper() == colour]
    found = [np.column_stack(line.get_data()) for line in lines if line.get_marker() not in ("None", "x", "")]
    return np.concatenate(found).astype(float)


def line_of(ax, colour, dashed) -> np.ndarray:
    """The y values of a colour's line through middle values."""
    (line,) = (
        line for line in ax.get_lines()
        if to_hex(line.get_color()).upper() == colour and line.get_marker() == "None"
        and line.is_dashed() == dashed
    )  # fmt: skip
    return np.asarray(line.get_ydata(), float)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_axes_with_words_and_a_text_for_who_cannot_see_it(figure_of, name):
    figure = figure_of(name)
    assert len(figure.alt.split()) >= 6 and "\n" not in figure.alt
    shown = list(panels(figure).values())
    assert shown[-1].get_xlabel()
    assert all(ax.get_ylabel() or len(ax.get_yticks()) for ax in shown)
    assert {ax.get_ylabel() for ax in figure.axes} & UNITS
    assert figure.get_facecolor() == (1, 1, 1, 1)


def test_rewinding_shows_means_over_depth_and_every_run(figure_of):
    ax = panels(figure_of("rewinding"))["real"]
    assert list(line_of(ax, BLUE, dashed=False)) == pytest.approx([LOST[m] for m in MODULES[:-1]])
    assert list(line_of(ax, VERMILLION, dashed=True)) == pytest.approx([2 * LOST[m] for m in MODULES[:-1]])
    assert len(points(ax, BLUE)) == 2 * 3 * len(MODULES)  # two rates, three seeds
    assert ax.get_ylabel() == "test accuracy lost (points)"
    assert [text.get_text() for text in ax.get_xticklabels()] == list(MODULES)


def test_fc_stands_apart(figure_of):
    """No line reaches it, and a dotted one stands before it."""
    ax = panels(figure_of("rewinding"))["real"]
    places = dict(zip(MODULES, ax.get_xticks(), strict=True))
    assert places["fc"] - places["layer4.0"] > places["layer4.0"] - places["layer3.0"]
    dotted = [line for line in ax.get_lines() if line.get_linestyle() == ":"]
    assert places["layer4.0"] < dotted[0].get_xdata()[0] < places["fc"]
    joined = [line for line in ax.get_lines() if line.get_marker() == "None" and len(line.get_xdata()) == 5]
    assert max(line.get_xdata()[-1] for line in joined) < dotted[0].get_xdata()[0]


def test_the_papers_losses_stand_on_xray_only_at_all_of_its_modules(figure_of):
    """Where ours has one block, the paper's blocks of that stage spread up to the next."""
    shown = panels(figure_of("rewinding"))
    theirs = {name: [line for line in ax.get_lines() if line.get_marker() == "x" and len(line.get_xdata())]
              for name, ax in shown.items()}  # fmt: skip
    assert not theirs["real"] and len(theirs["xray"]) == 4  # two inits, body and head
    of_ri_t = next(c for c in theirs["xray"] if to_hex(c.get_color()).upper() == VERMILLION)
    whole, conv1, block = (
        paper.value("figure5", init="RI-T", rate="high", module=module)
        for module in ("none", "conv1", "layer3.3")
    )
    drawn = dict(zip(of_ri_t.get_xdata(), of_ri_t.get_ydata(), strict=True))
    places = dict(zip(MODULES, shown["xray"].get_xticks(), strict=True))
    assert len(drawn) == 17 and drawn[places["conv1"]] == pytest.approx(whole - conv1)
    assert drawn[places["layer3.0"] + 3 / 6] == pytest.approx(whole - block)
    assert shown["xray"].get_ylabel() == "test AUC lost"
    each = figures.each_rewinding(every_table(ROLES)["rewind"], paper.figure5())
    assert list(each) == ["xray", "real"]


def test_a_fresh_draw_is_hollow_and_loses_what_the_table_says(figure_of):
    ax = panels(figure_of("redrawing"))["real"]
    hollow = [line for line in ax.get_lines() if line.get_markerfacecolor() == "white"]
    assert {to_hex(line.get_color()).upper() for line in hollow} == {BLUE, VERMILLION}
    assert {round(y, 6) for line in hollow for y in line.get_ydata()} == {50}


def test_in_time_has_a_row_a_module_and_a_column_an_epoch(figure_of):
    shown = panels(figure_of("in time"))
    assert set(shown) == {f"{role}: {init}" for role in ROLES for init in ("P-T", "RI-T")}
    ax = shown["real: RI-T"]
    cells = ax.collections[0].get_array().reshape(len(MODULES), len(EPOCHS))
    for row, module in zip(cells, MODULES, strict=True):
        assert list(row) == pytest.approx([2 * LOST[module] / (k + 1) for k in range(len(EPOCHS))])
    assert [text.get_text() for text in ax.get_xticklabels()] == [str(epoch) for epoch in EPOCHS]
    same = [panel.collections[0].get_clim() for name, panel in shown.items() if name.startswith("real")]
    assert same[0] == same[1]


def test_noise_maps_are_over_distance_and_the_factors_measured_everywhere(figure_of):
    figure = figure_of("maps")
    shown = panels(figure)
    assert set(shown) == {f"{i}, {path} path" for i in ("P-T", "RI-T") for path in ("direct", "optimisation")}
    ax = shown["P-T, direct path"]
    cells = ax.collections[0].get_array().reshape(len(FACTORS), len(FRACTIONS))
    wanted = [[0.01 * (50 + 50 * f - 40 * abs(n)) for f in FRACTIONS] for n in FACTORS]
    np.testing.assert_allclose(cells, wanted)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1.5", "3"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["-0.5", "-0.25", "0", "+0.25", "+0.5"]
    assert ax.collections[0].get_clim() == shown["RI-T, optimisation path"].collections[0].get_clim()


def test_a_path_that_turns_back_is_drawn_in_its_own_order():
    """The optimisation path may come nearer again: points stand in order of training."""
    paths = every_table(("real",))["paths"].query("path == 'optimisation' and module == 'conv1'").copy()
    paths["distance"] = paths.fraction.map({0.0: 0.0, 0.5: 9.0, 1.0: 4.0})
    ax = panels(figures.noise_maps(paths, "real", "conv1"))["P-T, optimisation path"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "9", "4"]


def test_noise_at_the_end_has_a_line_a_run_and_the_finer_factors(figure_of):
    ax = panels(figure_of("end"))["xray"]
    lines = [line for line in ax.get_lines() if to_hex(line.get_color()).upper() == BLUE]
    assert len(lines) == 3
    assert list(lines[0].get_xdata()) == [0, 0.125, 0.25, 0.5]
    assert list(lines[0].get_ydata()) == pytest.approx([1.0, 0.95, 0.9, 0.8])


def test_depth_shows_zero_at_the_foot_and_medians_above(figure_of):
    ax = panels(figure_of("depth"))["real: raw"]
    line = line_of(ax, BLUE, dashed=False)
    assert list(line[2:]) == pytest.approx([2 * MU[m] for m in MODULES[2:-1]])
    ticks = dict(zip([text.get_text() for text in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    assert line[0] == line[1] == ticks["0"] and ticks["0"] < min(v for k, v in ticks.items() if k != "0")
    low, high = ax.get_ylim()
    heights = points(ax, VERMILLION)[:, 1]
    assert ((heights >= low) & (heights <= high)).all()


def test_the_gap_figure_has_one_mark_a_run_and_the_correlation(figure_of):
    shown = panels(figure_of("gap"))
    titles = [title for title in shown if title.startswith("real: raw")]
    assert "rank correlation 0." in titles[0]
    marks = points(shown[titles[0]], BLUE)
    assert len(marks) == 6 and set(marks[:, 1].round(6)) == {15, 16, 17}
    chest = next(ax for title, ax in shown.items() if title.startswith("xray: raw"))
    assert chest.get_ylabel() == "train − test AUC"


@pytest.mark.parametrize("name", NAMES)
def test_values_that_are_missing_do_not_stop_a_figure(name):
    """A diverged run leaves NaN; all of a role's runs may."""
    broken = every_table(ROLES)
    for frame in broken.values():
        frame.loc[(frame.init == "P-T") & (frame.seed == 1) | (frame.role == "real"), "value"] = np.nan
    drawings(broken)[name]().canvas.draw()


def test_what_an_explorer_can_move_through():
    found = figures.shown_modules(every_table(("real",))["paths"], "real")
    assert found == list(MODULES)
