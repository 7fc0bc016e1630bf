"""Figures and tables of question 3 on made-up tables: they show what the tables say, in words and units."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_up import ROLES
from made_up_landscape import CONTROL, END, MIDDLE, SAME_INIT, tables
from matplotlib.colors import to_hex

from tlbook import questions
from tlbook import tables as declared
from tlbook.evidence import paper
from tlbook.questions.loss_landscape import figures
from tlbook.questions.loss_landscape import summaries as numbers


@pytest.fixture(scope="module", autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def found():
    made = tables(ROLES)
    for name, frame in made.items():
        declared.check(questions.tables()[name], frame[questions.tables()[name].names])
    return made


def every_figure(found) -> dict:
    return {
        "interpolation": lambda: figures.interpolation(found["interpolation"]),
        "training": lambda: figures.interpolation(found["interpolation"], what="training_loss"),
        "checkpoints": lambda: figures.checkpoints(found["interpolation"]),
        "drivers": lambda: figures.drivers(found["barriers"]),
        "past_the_ends": lambda: figures.past_the_ends(found["around"]),
        "flatness": lambda: figures.flatness(found["flatness"]),
        "alignment": lambda: figures.alignment(found["alignment"]),
        "on_the_way": lambda: figures.on_the_way(found["interpolation"], found["predictions"], "xray", 0.5),
    }


@pytest.mark.parametrize("name", every_figure({}))
def test_every_figure_has_units_a_text_and_a_white_face(found, name):
    figure = every_figure(found)[name]()
    assert len(figure.alt.split()) >= 6 and "\n" not in figure.alt
    labels = {ax.get_ylabel() for ax in figure.axes} | {ax.get_xlabel() for ax in figure.axes}
    assert any("(" in label or "AUC" in label for label in labels)
    assert figure.get_facecolor() == (1, 1, 1, 1)
    figure.canvas.draw()


def line(ax, label):
    (found,) = (one for one in ax.get_lines() if one.get_label() == label)
    return dict(zip(*map(list, found.get_data()), strict=True))


def test_lines_are_means_over_pairs_under_bands_of_all(found):
    figure = figures.interpolation(found["interpolation"])
    axes = {ax.get_title(): ax for ax in figure.axes}
    assert tuple(axes) == ROLES
    for kind, middle in {**{f"{a} & {b}": m for (a, b), m in MIDDLE.items()},
                         "RI-T & RI-T, same init": SAME_INIT}.items():  # fmt: skip
        drawn = line(axes["real"], kind)
        shift = -0.1 * 2 / 3 if kind != "P-T & RI-T" else 0  # mean of seeds 0, 0, 1 or 0, 1, 2
        assert drawn[0.5] == pytest.approx(middle + shift) and set(drawn) == {0, 0.25, 0.5, 0.75, 1}
        assert drawn[0] == pytest.approx(END[kind[: kind.index(" ")]] + shift)
    assert line(axes["xray"], "P-T & P-T")[0.5] == pytest.approx(0.81, abs=0.01)
    assert [axes[role].get_ylabel() for role in ("real", "xray")] == ["test accuracy (%)", "test AUC"]
    heights = [np.ptp(band.get_paths()[0].vertices[:, 1]) for band in axes["real"].collections]
    assert len(heights) == 4 and all(height > 0 for height in heights)


def test_the_papers_lines_are_dotted_beside_ours(found):
    theirs = paper.figure4_lines()
    ax = figures.interpolation(found["interpolation"], theirs).axes[0]
    dotted = [one for one in ax.get_lines() if one.get_linestyle() == ":" and len(one.get_xdata())]
    lowest = sorted(min(one.get_ydata()) for one in dotted)
    assert lowest == pytest.approx([0.4, 0.5, 6.5, 78.4])  # two kinds at chance, one init, two P-T
    *_, one_run = figures.checkpoints(found["interpolation"], theirs).axes
    assert sorted(min(o.get_ydata()) for o in one_run.get_lines() if o.get_linestyle() == ":") == [
        0.634,
        0.733,
    ]


def test_kinds_of_pairs_differ_without_colour(found):
    ax = figures.interpolation(found["interpolation"]).axes[0]
    looks = {(one.get_marker(), one.get_linestyle()) for one in ax.get_lines()}
    assert len(looks) == 4 and len({to_hex(one.get_color()) for one in ax.get_lines()}) == 4


def test_places_beyond_the_ends_are_not_in_figure_4(found):
    table = found["interpolation"]
    far = table[table.alpha == 0].assign(alpha=-0.5, value=1e6)
    ax = figures.interpolation(pd.concat([table, far])).axes[0]
    assert min(line(ax, "P-T & P-T")) == 0 and ax.get_ylim()[1] < 1000


def test_checkpoints_of_xray(found):
    figure = figures.checkpoints(found["interpolation"])
    best, final, one_run = figure.axes
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["best & best", "final & final", "best to final of one run"]
    gap = line(best, "RI-T & RI-T")[0.5] - line(final, "RI-T & RI-T")[0.5]
    assert gap == pytest.approx(0.01)
    assert line(one_run, "RI-T & RI-T")[0.5] == pytest.approx(0.6)


def test_drivers_name_what_pairs_share_and_show_how_high_the_barrier_is(found):
    ax = figures.drivers(found["barriers"]).axes[0]
    names = [text.get_text() for text in ax.get_yticklabels()]
    bars = {names[round(bar.get_y() + bar.get_height() / 2)]: bar.get_width() for bar in ax.patches}
    assert bars["P-T & P-T"] == 0 and bars["P-T & P-T: other head only"] == pytest.approx(1)
    assert bars["P-T & P-T: other P only"] == pytest.approx(80 - CONTROL["other_source"])
    assert bars["P-T & RI-T"] == pytest.approx(70 - 20) and bars["RI-T & RI-T"] == pytest.approx(35)
    assert names[-1] == "RI-T & RI-T" and ax.get_xlabel() == "barrier (points)"


def test_names_of_pairs_tell_rates_apart():
    rows = [("P-T", "high", "P-T", "high"), ("P-T", "low", "RI-T", "low"), ("P-T", "low", "RI-T", "high")]
    table = pd.DataFrame(rows, columns=["init", "rate", "init_b", "rate_b"]).assign(pairing="independent")
    names = numbers.with_pairs(table).pair.tolist()
    assert names == ["P-T & P-T, both high", "P-T & RI-T, both low", "P-T & RI-T"]


def test_flatness_is_a_rise_from_zero(found):
    figure = figures.flatness(found["flatness"])
    axes = {ax.get_title(): ax for ax in figure.axes}
    assert line(axes["real, raw"], "RI-T (high)") == pytest.approx({0: 0, 0.1: 0.3, 0.5: 1.5})
    assert line(axes["xray, by filter"], "P-T (low)") == pytest.approx({0: 0, 0.1: 0.2, 0.5: 1})


def test_steps_past_the_ends(found):
    ax = figures.past_the_ends(found["around"]).axes[0]
    assert line(ax, "P-T & P-T, along the line") == pytest.approx({0: 0.5, 0.25: 1, 0.5: 1.5})
    assert line(ax, "RI-T & RI-T, random") == pytest.approx({0: 0.5, 0.25: 0.75, 0.5: 1})


def test_alignment_by_method(found):
    ax = figures.alignment(found["alignment"]).axes[0]
    middles = {one.get_label(): one.get_ydata()[1] for one in ax.get_lines()}
    assert middles == {"raw": 20, "raw, repaired": 30, "aligned": 40, "aligned, repaired": 50}


# Tables


def test_barriers_have_intervals_over_runs_and_the_papers_lowest_points(found):
    theirs = pd.concat([paper.figure4(), paper.figure16()])
    table = numbers.barriers(found["barriers"], theirs).set_index(["role", "pair"])
    own = table.loc["real", "RI-T & RI-T"]
    assert (own.pairs, own.height, own.place) == (3, pytest.approx(35), 0.5)
    assert own["width"] == pytest.approx(0.5) and own["paper's lowest"] == 0.6
    low, high = map(float, own["95 % interval"].split(" to "))
    assert low <= own.height <= high and high - low < 0.01
    assert table.loc["quickdraw", "RI-T & RI-T, same init"]["paper's lowest"] == 16.3
    assert table.loc["xray", "RI-T & RI-T, best & best"]["paper's lowest"] == 0.532
    assert table.loc["xray", "P-T & P-T, same run, best & final"]["paper's lowest"] == 0.733
    assert table.loc["xray", "RI-T & RI-T, best & best"].height == pytest.approx(0.34)
    assert own["height, calibrated loss"] == pytest.approx(0.35)


def test_too_few_runs_have_no_interval(found):
    few = found["barriers"].query("seed < 2 and seed_b < 2")
    table = numbers.barriers(few, paper.figure4())
    assert set(table["95 % interval"]) == {"–"} and np.isfinite(table.height).all()


def test_a_diverged_run_leaves_its_kind_unmeasured(found):
    table = found["barriers"].copy()
    table.loc[(table.init == "P-T") & (table.seed == 1), "value"] = np.nan
    own = numbers.barriers(table, paper.figure4()).set_index(["role", "pair"]).loc["real", "P-T & P-T"]
    assert own["95 % interval"] == "–"


def test_basins_are_counted_for_each_delta(found):
    table = numbers.basins(found["basins"]).set_index(["role", "pair"])
    own = table.loc["real", "P-T & P-T"]
    assert (own["one basin, δ = 0.1"], own["one basin, δ = 0.5"]) == ("0 of 3", "3 of 3")
    assert own["rise/2, δ = 0.5"] == pytest.approx(0.1) and own.spread == pytest.approx(0.05)
    assert table.loc["real", "RI-T & RI-T"]["one basin, δ = 0.5"] == "0 of 3"


def test_twins_side_by_side(found):
    table = numbers.twins(found["twins"]).set_index(["role", "init", "steps"])
    assert table.loc["real", "P-T", "raw"].tolist() == pytest.approx([0.1, 1.0])
    assert table.loc["real", "RI-T", "filter"].tolist() == pytest.approx([0.6, 0.6])


def test_soups_against_their_members(found):
    """Gains 2 with all, and 1, 2, 3 with one left out: jackknife by hand, t(2) = 4.303."""
    table = numbers.soups(found["soups"]).set_index(["role", "averaged"])
    own = table.loc["real", "P-T, low"]
    assert (own.models, own.soup, own["soup - members"], own["soup - best"]) == (3, 82, 2, 1)
    half = 4.303 * np.sqrt(2 / 3 * 2)
    bounds = list(map(float, own["95 % interval"].split(" to ")))
    assert bounds == pytest.approx([2 - half, 2 + half], rel=0.01)
    assert table.loc["xray", "RI-T, high"]["soup - members"] == pytest.approx(-0.4)


# The explorer


def test_a_frame_for_each_place(found):
    frames = figures.frames(found, "real", {})
    assert list(frames) == ["0.00", "0.50", "1.00"]
    titles = [ax.get_title() for ax in frames["0.50"].axes[1:]]
    assert titles == ["dog\n75 %"] * 6
    weights = [ax.title.get_fontweight() for ax in frames["0.50"].axes[1:]]
    assert weights == ["bold", "normal"] * 3  # a cat called dog is wrong
    assert [path for path, _ in figures.files(found, "real")] == ["real/cat.png", "real/dog.png"]


def test_images_are_shown_where_they_are_at_hand(found):
    image, files = np.zeros((8, 8, 3), np.uint8), figures.files(found, "real")
    frame = figures.frames(found, "real", {files[0]: image})["0.00"]
    assert [len(ax.images) for ax in frame.axes[1:]] == [1, 0] * 3


def test_a_role_without_predictions_has_a_sentence(found):
    (text,) = figures.frames({}, "real", {}).values()
    assert text.endswith("two seeds.") and figures.files({}, "real") == []
