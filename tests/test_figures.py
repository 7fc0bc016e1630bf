"""Figures of question 1 on made-up tables: they show what the tables say, in words and units."""

import functools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_up import BLOCK_SIZES, DEV, EPOCHS, ROLES, TEST, block_shuffle, learning_curves, tables
from matplotlib.colors import to_hex, to_rgb

from tlbook.evidence import paper, style
from tlbook.questions.feature_reuse import figures as figures
from tlbook.questions.feature_reuse.summaries import drop_by_seed, final_metrics
from tlbook.questions.setup import figures as setup

BLUE, VERMILLION = style.INIT_COLOURS["P-T"], style.INIT_COLOURS["RI-T"]
OURS = to_hex(style.OURS).upper()


@pytest.fixture(scope="module", autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def found():
    return tables()


@pytest.fixture(scope="module")
def figure_of(found):
    """Each figure of the unchanged tables, by name, drawn once."""
    made = every_figure(found)
    return functools.cache(lambda name: made[name]())


def panels(figure) -> dict:
    """Panels by the role in their title; each with a label on both axes that names quantity and unit."""
    return {ax.get_title(): ax for ax in figure.axes if ax.get_title()}


def of_colour(ax, colour) -> list:
    """Lines of a panel in a colour that hold finite data."""
    lines = [line for line in ax.get_lines() if to_hex(line.get_color()).upper() == colour]
    return [line for line in lines if np.isfinite(np.asarray(line.get_ydata(), float)).any()]


def drawn(ax, colour) -> np.ndarray:
    """All finite points (x, y) in a colour, (n, 2)."""
    points = [np.column_stack(line.get_data()).astype(float) for line in of_colour(ax, colour)]
    points = np.concatenate(points)
    return points[np.isfinite(points).all(1)]


def legend_texts(figure) -> list[str]:
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def every_figure(found) -> dict:
    """One call for each figure, by name."""
    shuffled = found["block_shuffle"]
    images = np.zeros((6, 32, 32, 3), np.uint8)
    return {
        "learning_curves": lambda: figures.learning_curves(found["learning_curves"]),
        "block_shuffle": lambda: figures.block_shuffle(shuffled),
        "speed": lambda: figures.block_shuffle(shuffled, what="speed"),
        "relative_drop": lambda: figures.relative_drop(shuffled, paper.figure3()),
        "convergence": lambda: figures.convergence(found["convergence"]),
        "one_block_size": lambda: figures.one_block_size(shuffled, "xray", "8", images),
    }


NAMES = tuple(every_figure(dict.fromkeys(("block_shuffle", "learning_curves", "convergence"))))
DATA_UNITS = {
    "learning_curves": ("test accuracy (%)", "test AUC"),
    "block_shuffle": ("test accuracy (%)", "test AUC"),
    "speed": ("mean training accuracy (%)", "mean training AUC"),
}


@pytest.mark.parametrize("name", DATA_UNITS)
def test_one_panel_a_role_in_the_books_order_each_in_its_metric(figure_of, name):
    shown = panels(figure_of(name))
    assert tuple(shown) == ROLES
    accuracy, auc = DATA_UNITS[name]
    labels = {role: ax.get_ylabel() for role, ax in shown.items()}
    assert labels == {"real": accuracy, "clipart": accuracy, "quickdraw": accuracy, "xray": auc}
    assert drawn(shown["xray"], BLUE)[:, 1].max() <= 1 < drawn(shown["real"], BLUE)[:, 1].max()


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_what_its_axes_are_and_has_a_text_for_who_cannot_see_it(figure_of, name):
    figure = figure_of(name)
    assert len(figure.alt.split()) >= 6 and "\n" not in figure.alt
    shown = panels(figure)
    bottom = {ax.get_xlabel() for ax in shown.values()} - {""}
    assert len(bottom) == 1
    words = {"learning_curves": "epoch", "convergence": "epochs", "one_block_size": "learning rate"}
    assert words.get(name, "block size") in bottom.pop()
    assert any(ax.get_ylabel() or ax.get_yticklabels() for ax in shown.values())
    assert figure.get_facecolor() == (1, 1, 1, 1)


def test_learning_curves_are_means_over_seeds_under_bands_of_all_seeds(figure_of):
    ax = panels(figure_of("learning_curves"))["real"]
    ends = sorted(line.get_ydata()[-1] for line in of_colour(ax, BLUE) + of_colour(ax, VERMILLION))
    assert ends == pytest.approx(sorted(TEST.values()))
    assert list(of_colour(ax, BLUE)[0].get_xdata()) == list(EPOCHS)
    heights = [band.get_paths()[0].vertices for band in ax.collections]
    spans = sorted(np.ptp(vertices[vertices[:, 0] == EPOCHS[-1]][:, 1]) for vertices in heights)
    assert spans == pytest.approx([2, 2, 2, 2])


def test_learning_curves_tell_kinds_of_run_apart_without_colour(figure_of):
    figure = figure_of("learning_curves")
    ax = panels(figure)["real"]
    lines = of_colour(ax, BLUE) + of_colour(ax, VERMILLION)
    looks = {(line.get_marker(), line.is_dashed()) for line in lines}
    assert len(looks) == 4
    assert legend_texts(figure) == ["P-T, low", "P-T, high", "RI-T, low", "RI-T, high"]


def test_learning_curves_can_show_another_split():
    ax = panels(figures.learning_curves(learning_curves(("real",)), split="dev"))["real"]
    ends = sorted(line.get_ydata()[-1] for line in of_colour(ax, BLUE) + of_colour(ax, VERMILLION))
    assert ends == pytest.approx(sorted(DEV.values()))
    assert ax.get_ylabel() == "dev accuracy (%)"


def test_epochs_end_where_each_roles_runs_end():
    curves = learning_curves(("real", "xray"))
    curves = curves[(curves.role == "xray") | (curves.epoch <= 5)]
    shown = panels(figures.learning_curves(curves))
    ends = [int(ax.get_xticklabels()[-1].get_text()) for ax in shown.values()]
    assert ends == [5, 10]
    assert all(ax.get_xlim()[0] < 0 for ax in shown.values())  # epoch 0 can be seen


def test_block_shuffle_shows_the_rate_that_is_better_on_dev(figure_of):
    """On dev the low rate is better, on test the high one."""
    ax = panels(figure_of("block_shuffle"))["real"]
    assert drawn(ax, BLUE)[:, 1].max() == pytest.approx(TEST["P-T", "low"])
    assert drawn(ax, VERMILLION)[:, 1].max() == pytest.approx(TEST["RI-T", "low"])


def test_block_shuffle_has_single_values_first_and_unshuffled_last(figure_of):
    figure = figure_of("block_shuffle")
    ax = panels(figure)["quickdraw"]
    ticks = dict(zip([label.get_text() for label in ax.get_xticklabels()], ax.get_xticks(), strict=True))
    heights = drawn(ax, BLUE)
    assert heights[heights[:, 0].argmax(), 1] == pytest.approx(80)
    assert heights[heights[:, 0].argmin(), 1] == pytest.approx(24)
    assert heights[:, 0].max() == pytest.approx(ticks["1"], abs=0.2)
    assert heights[:, 0].min() == pytest.approx(ticks["*"], abs=0.2) and len(set(heights[:, 0])) == len(
        BLOCK_SIZES
    )
    assert legend_texts(figure) == ["P-T", "RI-T"]


def test_single_values_are_not_joined_to_block_sizes(figure_of):
    """'*' is no block size: no line leads from it, nor to it, in either figure."""
    ax = panels(figure_of("block_shuffle"))["real"]
    assert unjoined_from_first(ax, BLUE) and unjoined_from_first(ax, VERMILLION)
    ax = panels(figure_of("relative_drop"))["real"]
    assert unjoined_from_first(ax, OURS)


def unjoined_from_first(ax, colour) -> bool:
    """Whether a panel has lines in the colour, none of which leaves its left-most point sideways."""
    first = drawn(ax, colour)[:, 0].min()
    joined = 0
    for line in of_colour(ax, colour):
        if line.get_linestyle() == "None":
            continue
        x, y = (np.asarray(values, float) for values in line.get_data())
        for start, end, low, high in zip(x, x[1:], y, y[1:], strict=False):
            if np.isfinite([low, high]).all() and start != end:
                joined += 1
                if abs(start - first) < 0.5:
                    return False
    return joined > 0


def test_speed_is_the_mean_training_metric(figure_of):
    shown = panels(figure_of("speed"))
    assert set(drawn(shown["real"], BLUE)[:, 1].round(6)) == {95.0}
    assert set(drawn(shown["xray"], VERMILLION)[:, 1].round(6)) == {0.85}


def test_relative_drop_equals_what_a_hand_computes():
    """Unshuffled 100 (80 - 60) / 80 = 25; at '*' 100 (24 - 16.2) / 24 = 32.5, at the rates by dev."""
    drops = drop_by_seed(block_shuffle(("real", "xray")))
    assert list(drops.columns) == ["role", "block_size", "block_fraction", "seed", "value"]
    assert len(drops) == 2 * len(BLOCK_SIZES) * 3
    for size, drop in {"32": 25.0, "*": 32.5}.items():
        assert list(drops.value[drops.block_size == size]) == pytest.approx([drop] * 6)


def test_relative_drop_stands_beside_the_papers_at_the_same_share_of_the_side(figure_of):
    figure = figure_of("relative_drop")
    ax = panels(figure)["real"]
    printed = paper.value("figure3", role="real", block_size="224", metric="relative_drop")
    theirs, ours = drawn(ax, to_hex(style.PAPER["color"]).upper()), drawn(ax, OURS)
    ticks = dict(zip([t.get_text() for t in ax.get_xticklabels()], ax.get_xticks(), strict=True))
    assert set(theirs[theirs[:, 0] == ticks["1"], 1]) == {printed} and theirs[:, 0].min() == ticks["*"]
    assert set(ours[ours[:, 0] == ticks["1"], 1].round(6)) == {25}
    assert panels(figure)["real"].get_ylabel() == "relative drop (%)"
    assert not (drawn(panels(figure)["xray"], OURS)[:, 1] == printed).any()  # the paper shuffles no X-rays
    assert legend_texts(figure) == ["paper", "ours"]


@pytest.mark.parametrize("name", ["learning_curves", "block_shuffle"])
def test_the_papers_curves_are_dotted_in_the_inits_colour(found, name):
    theirs = {"learning_curves": paper.figure2_curves(), "block_shuffle": paper.figure3()}[name]
    figure = getattr(figures, name)(found[name], theirs)
    ax = panels(figure)["clipart"]
    dotted = {y for line in of_colour(ax, BLUE) if line.get_linestyle() == ":" for y in line.get_ydata()}
    where = {"role": "clipart", "init": "P-T", "split": "test", "metric": "accuracy"}
    values = theirs.loc[(theirs[list(where)] == pd.Series(where)).all(axis=1), "value"]
    assert dotted <= set(values) and len(dotted) > 8 and "paper" in legend_texts(figure)
    none = getattr(figures, name)(found[name], theirs.iloc[:0])
    assert "paper" not in legend_texts(none)


def test_a_run_that_never_got_there_is_hollow():
    """P-T, low, passes RI-T's 60 at epoch 10; RI-T, low, is its own reference: half its seeds end below."""
    curves = tables(("real",))["convergence"]
    ax = panels(figures.convergence(curves))["real"]
    marks = {(line.get_ydata()[0] // 1, to_hex(line.get_markerfacecolor())) for line in ax.get_lines()}
    faces = {to_hex(line.get_markerfacecolor()).upper() for line in ax.get_lines()}
    assert faces == {BLUE, VERMILLION, "#FFFFFF"} and len(marks) > 3
    hollow = [line for line in ax.get_lines() if to_hex(line.get_markerfacecolor()) == "#ffffff"]
    never = curves[(curves.reference == "final") & (curves.metric == "epochs") & (curves.reached == 0)]
    assert len(hollow) == len(never) > 0
    assert {line.get_xdata()[0] for line in hollow} == {EPOCHS[-1]}
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["P-T, low", "P-T, high", "RI-T, low", "RI-T, high"]


def test_one_block_size_shows_every_run_at_both_rates(found):
    ax = panels(figures.one_block_size(found["block_shuffle"], "real", "8"))["real, block size 8"]
    assert len(drawn(ax, BLUE)) == len(drawn(ax, VERMILLION)) == 6
    assert set(drawn(ax, BLUE)[:, 1].round(6)) == {64.0, 72.0}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["low", "high"]
    assert {line.get_marker() for line in ax.get_lines()} == set(style.INIT_MARKERS.values())


def test_one_block_size_keeps_its_scale_and_hides_no_run(found):
    """Whoever moves the slider compares heights; a P-T below chance must stay in sight."""
    table = found["block_shuffle"].copy()
    below = (table.block_size == "*") & (table.init == "RI-T") & (table.split == "test")
    table.loc[below & (table.role == "xray"), "value"] = 0.31
    for role in ("real", "xray"):
        axes = [figures.one_block_size(table, role, size).axes[0] for size in BLOCK_SIZES]
        assert len({ax.get_ylim() for ax in axes}) == 1
        low, high = axes[0].get_ylim()
        for ax in axes:
            heights = np.concatenate([line.get_ydata() for line in ax.get_lines()])
            assert ((heights >= low) & (heights <= high)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lost", ["a run", "a role"])
def test_values_that_are_missing_do_not_stop_a_figure(name, lost):
    """A diverged run leaves NaN, or a role has nothing else; the rest is drawn."""
    broken = tables(("real", "xray"))
    del broken["domains"]
    for frame in broken.values():
        run = (frame.init == "P-T") & (frame.seed == 1) & (frame.rate == "low")
        frame.loc[run if lost == "a run" else frame.role == "xray", "value"] = np.nan
    figure = every_figure(broken)[name]()
    figure.canvas.draw()
    assert len(panels(figure)) == (1 if name == "one_block_size" else 2)


def test_a_rate_with_a_run_that_has_no_dev_metric_loses():
    table = block_shuffle(("real",))
    low = (table.init == "P-T") & (table.rate == "low") & (table.split == "dev")
    table.loc[low & (table.seed == 0), "value"] = np.nan
    ax = panels(figures.block_shuffle(table))["real"]
    assert drawn(ax, BLUE)[:, 1].max() == pytest.approx(TEST["P-T", "high"])


def luminance(colour) -> float:
    """Relative luminance (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_one_colour_means_one_thing():
    """Two P-T have P-T's colour, two RI-T have RI-T's; all others are their own."""
    pairs = {name: colour for name, colour in style.PAIR_COLOURS.items() if len(set(name.split(" & "))) > 1}
    meanings = style.INIT_COLOURS | style.CONTROL_COLOURS | style.ROLE_COLOURS | pairs
    meanings |= {"same init": style.SAME_INIT, "other P": style.OTHER_P, "aligned": style.ALIGNED}
    assert len(set(meanings.values())) == len(meanings) == 14


@pytest.mark.parametrize("palette", [style.INIT_COLOURS, style.ROLE_COLOURS], ids=["inits", "roles"])
def test_colours_can_be_told_apart(palette):
    """No two the same, each seen on white; markers for who sees none."""
    assert len(set(palette.values())) == len(palette)
    assert all(1.05 / (luminance(colour) + 0.05) >= 3 for colour in palette.values())
    markers = style.INIT_MARKERS if palette is style.INIT_COLOURS else style.ROLE_MARKERS
    assert set(markers) == set(palette) and len(set(markers.values())) == len(palette)


def test_final_metrics_are_the_tables_ends_beside_the_papers():
    rows = final_metrics(learning_curves(), paper.figure2())
    assert list(dict.fromkeys(rows.role)) == list(ROLES)
    p_t = rows[(rows.role == "real") & (rows.init == "P-T") & (rows.rate == "low")].iloc[0]
    assert (p_t.n, p_t.lowest, p_t.highest) == (3, pytest.approx(79), pytest.approx(81))
    assert p_t.test == pytest.approx(80)
    where = dict(role="real", init="P-T", rate="low", checkpoint="final", metric="accuracy")
    assert p_t.paper == paper.value("figure2", **where)


def test_figure_1_shows_each_role_at_each_block_size_unsmoothed():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    samples = {
        role: {size: images[3 * row + column, None] for column, size in enumerate(("8", "4", "*"))}
        for row, role in enumerate(("real", "xray"))
    }
    figure = setup.figure_1(samples)
    shown = [image for ax in figure.axes for image in ax.get_images()]
    assert len(shown) == 6 and "real, xray" in figure.alt
    for image, wanted in zip(shown, images, strict=True):
        assert (image.get_array() == wanted).all() and image.get_interpolation() == "nearest"
    assert [ax.get_title() for ax in figure.axes[:3]] == ["whole", "4", "*"]
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["real", "xray"]
