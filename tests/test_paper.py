"""paper.json against values typed by hand from the paper's own tables and printed percentages."""

import pytest

from tlbook.errors import TlbookError
from tlbook.evidence import paper


@pytest.mark.parametrize(
    ("pair", "module", "printed"),
    [
        (("P-T", "P"), "conv1", 0.6225),
        (("P-T", "P"), "layer4", 0.0453),
        (("P-T", "P-T"), "layer1", 0.8230),
        (("P-T", "P-T"), "layer4", 0.1628),
        (("P-T", "RI-T"), "layer4", 0.0808),
        (("RI-T", "RI-T"), "layer1", 0.0088),
    ],
)
def test_table_1(pair, module, printed):
    assert paper.value("table1", init=pair[0], init_b=pair[1], module=module) == printed


@pytest.mark.parametrize(
    ("role", "pair", "printed"),
    [
        ("xray", ("P-T", "P-T"), 200.12),
        ("clipart", ("RI-T", "RI-T"), 822.43),
        ("quickdraw", ("P-T", "P"), 195.44),
        ("real", ("RI-T", "P"), 796.80),
    ],
)
def test_table_2(role, pair, printed):
    assert paper.value("table2", role=role, init=pair[0], init_b=pair[1]) == printed


@pytest.mark.parametrize(
    ("role", "size", "printed"),
    [
        ("quickdraw", "*", 91),
        ("clipart", "1", 22),
        ("real", "2", 3),
        ("real", "56", 52),
        ("quickdraw", "224", 22),
    ],
)
def test_printed_relative_drops(role, size, printed):
    assert paper.value("figure3", metric="relative_drop", role=role, block_size=size) == printed


def test_printed_drops_agree_with_the_bars_that_were_read():
    """Two independent readings of Figure 3: the bars recompute the printed drops to what reading errors allow
    (error 0.7 in each bar moves a drop by at most about 100 * 2 * 0.7 / height points)."""
    rows = paper.figure3()
    bars = rows[rows["metric"] == "accuracy"].pivot(
        index=["role", "block_size"], columns="init", values="value"
    )
    drops = rows[rows["metric"] == "relative_drop"].set_index(["role", "block_size"])["value"]
    again = 100 * (bars["P-T"] - bars["RI-T"]) / bars["P-T"]
    assert len(drops) == 39
    assert ((again - drops[again.index]).abs() <= 0.5 + 140 / bars["P-T"]).all()


@pytest.mark.parametrize("name", paper.SOURCES)
def test_frames_are_tidy(name):
    rows = paper.frame(name)
    keys = [column for column in rows.columns if column not in ("value", "error")]
    assert len(rows) and not rows.isna().any().any()
    assert not rows.duplicated(keys).any()
    assert (rows["error"] >= 0).all()
    assert len(paper.about(name)) > 20


def test_units_and_names():
    two, three, seven = paper.figure2(), paper.figure3(), paper.figure7()
    assert set(two["role"]) == {"real", "clipart", "quickdraw", "xray"} and set(two["rate"]) == {
        "low",
        "high",
    }
    assert two.loc[two["metric"] == "auc", "value"].between(0.5, 1).all()
    assert two.loc[two["metric"] == "accuracy", "value"].between(30, 100).all()
    assert three.loc[three["block_size"] == "*", "block_fraction"].eq(0).all()
    assert three.loc[three["block_size"] == "224", "block_fraction"].eq(1).all()
    assert seven["checkpoint_fraction"].max() == 1 and "source" in set(seven["role"])


def test_figure_4_puts_p_t_first():
    """The picture draws RI-T at alpha 0; our pairs name P-T first."""
    where = {"role": "real", "init": "P-T", "init_b": "RI-T"}
    assert paper.value("figure4", quantity="end", **where) > paper.value("figure4", quantity="end_b", **where)


def test_no_pictures_frame_is_shared():
    rows = paper.table1()
    rows["value"] = 0.0
    assert paper.value("table1", init="P-T", init_b="P", module="conv1") == 0.6225


def test_refusals_name_what_is_valid():
    with pytest.raises(TlbookError, match="figure3"):
        paper.frame("figure9")
    with pytest.raises(TlbookError, match="has no column 'layer'"):
        paper.value("table1", layer="conv1")
    with pytest.raises(TlbookError, match="5 values for init=P-T, init_b=P;"):
        paper.value("table1", init="P-T", init_b="P")
