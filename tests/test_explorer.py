"""Explorers, read as a browser reads them."""

from __future__ import annotations

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from tlbook.book import explorer
from tlbook.errors import TlbookError
from tlbook.evidence import style


def figure(height: float = 1.0, **attributes):
    made, axes = plt.subplots(figsize=(2, height), facecolor="none")
    axes.plot([0, 1])
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def parse(shown) -> BeautifulSoup:
    return BeautifulSoup(shown._repr_html_(), "html.parser")


def nested():
    return explorer.tabs(
        {role: explorer.slider({s: figure() for s in ("*", "8")}, alt=f"{role}, curves", label="Block size")
         for role in ("real", "xray")}, label="Target",
    )  # fmt: skip


def decoded(image) -> np.ndarray:
    data = image["src"].removeprefix("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


def test_tabs_have_a_labelled_radio_for_each_frame_and_begin_with_the_first():
    page = parse(explorer.tabs({"a": figure(), "b & c": figure()}, alt="Curves"))
    radios = page.select("input[type=radio]")
    assert [("checked" in radio.attrs) for radio in radios] == [True, False]
    assert len({radio["name"] for radio in radios}) == 1
    labels = [page.find("label", attrs={"for": radio["id"]}).text for radio in radios]
    assert labels == ["a", "b & c"]
    assert len(page.select(".tlb-panel")) == 2


def test_tabs_need_no_script():
    """The rule that shows a panel names the radio that stands before it and the panel itself."""
    page = parse(explorer.tabs({"a": figure(), "b": figure()}, alt="Curves"))
    assert not page.find("script") and "oninput" not in str(page)
    rules = page.find_all("style")[-1].text
    for radio, panel in zip(page.select("input"), page.select(".tlb-panel"), strict=True):
        assert f"#{radio['id']}:checked~.tlb-panels>#{panel['id']}{{display:block}}" in rules
        assert panel.parent in radio.find_next_siblings()


def test_slider_has_a_label_and_shows_its_first_frame_only():
    frames = {label: figure() for label in ("1", "8", "32")}
    page = parse(explorer.slider(frames, alt="Curves", label="Block size"))
    slider = page.select_one("input[type=range]")
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "2", "0")
    assert page.find("label", attrs={"for": slider["id"]}).text == "Block size"
    assert slider["aria-valuetext"] == page.select_one("output").text == "1"
    assert [frame.has_attr("open") for frame in page.select(".tlb-frame")] == [True, False, False]
    assert [frame["data-label"] for frame in page.select(".tlb-frame")] == ["1", "8", "32"]


def test_without_styles_and_scripts_all_is_there_by_name_and_nothing_that_does_nothing():
    """As Jupyter shows a notebook that is not trusted, which drops an empty ``hidden``."""
    page = parse(nested())
    for chooses in page.select("input, label, output"):
        assert "hidden" in (chooses.get("hidden"), chooses.parent.get("hidden"))
    for panel in page.select(".tlb-panel"):
        assert not panel.has_attr("hidden") and panel.find("b").text in ("real", "xray")
    names = [frame.summary.text for frame in page.select("details.tlb-frame")]
    assert names == 2 * ["Block size: *", "Block size: 8"]


def test_ids_are_unique_also_when_shown_twice_and_nested():
    one, two = nested(), explorer.tabs({"a": figure()}, alt="Curves")
    page = BeautifulSoup("".join(s._repr_html_() for s in (one, two, one)), "html.parser")
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids)) > 20
    assert all(tag["for"] in ids for tag in page.find_all("label"))
    assert all(tag["for"] == [tag.find_previous("input")["id"]] for tag in page.find_all("output"))
    groups = [radio["name"] for radio in page.select("input[type=radio]")]
    assert len(set(groups)) == 2


def test_every_figure_has_its_text_alternative():
    own = figure(alt="What this one shows <&>")
    page = parse(explorer.tabs({"own": own, "common": figure()}, alt="Learning curves."))
    alternatives = [image["alt"] for image in page.select("img")]
    assert alternatives == ["What this one shows <&>", "Learning curves: common"]


def test_images_are_opaque_white_and_inline():
    page = parse(nested())
    assert len(page.select("img")) == 4
    for image in page.select("img"):
        pixels = decoded(image)
        assert (pixels[..., 3] == 255).all()
        assert (pixels[0, 0, :3] == 255).all()
        assert pixels.shape[:2] == (int(image["height"]), int(image["width"]))
    assert not re.search(r"(src|href)=.?(https?:)?//", str(page))


def test_where_there_is_no_choice_there_is_no_tab():
    page = parse(explorer.tabs({"only": figure()}, alt="Curves"))
    assert not page.select("input, label") and len(page.select("img")) == 1


def test_a_caption_has_a_number_to_refer_to():
    caption = "Figure 1.2 (the paper's Figure 2). See `x` rise. Or not."
    page = parse(explorer.tabs({"a": figure(), "b": figure()}, alt="Curves", caption=caption))
    (words,) = page.select("p.tlb-caption")
    assert words["id"] == "figure-1-2" and words.b.text == "Figure 1.2 (the paper's Figure 2)."
    assert words.text == "Figure 1.2 (the paper's Figure 2). See x rise. Or not." and words.code.text == "x"


def test_panels_stand_in_one_column_on_a_phone():
    made, axes = style.panels(4)
    for ax in axes:
        ax.plot([0, 1], label="line")
    style.legend(made)
    page = parse(explorer.tabs({"a": made}, alt="Four panels"))
    wide, narrow = page.select_one("img"), page.select_one("picture > source")
    assert narrow["media"] == "(max-width: 600px)"
    assert int(narrow["width"]) < 0.7 * int(wide["width"])
    assert int(narrow["height"]) > 1.4 * int(wide["height"])
    assert not parse(explorer.tabs({"a": figure()}, alt="One panel")).select("source")


def test_a_dark_page_turns_plots_but_neither_photographs_nor_heat_maps():
    photo, heat = figure(), figure()
    photo.axes[0].imshow(np.zeros((2, 2, 3)))
    heat.axes[0].pcolormesh(np.eye(2))
    frames = {"plot": figure(), "photo": photo, "heat": heat}
    page = parse(explorer.tabs(frames, alt="Curves"))
    assert ["tlb-plot" in one["class"] for one in page.select(".tlb-figure")] == [True, False, False]


def test_figures_are_closed_and_the_object_keeps_showing():
    before = plt.get_fignums()
    shown = explorer.slider({"1": figure(), "2": figure()}, alt="Curves")
    assert plt.get_fignums() == before
    assert shown._repr_mimebundle_()["text/html"].count("<img") == 2
    assert shown._repr_mimebundle_()["text/plain"] == "Frame (slider: 1, 2)"


def test_one_figure_may_stand_in_two_frames():
    both = figure()
    assert len(parse(explorer.tabs({"a": both, "b": both}, alt="Curves")).select("img")) == 2


def test_texts_are_escaped_and_tables_are_taken_as_they_are():
    frames = {"laptop": "Not recorded: run `tlbook <x>`.", "numbers": pd.DataFrame({"a": [1]})}
    page = parse(explorer.tabs(frames))
    assert page.select_one(".tlb-text").text == "Not recorded: run tlbook <x>."
    assert page.select_one(".tlb-text code").text == "tlbook <x>"
    assert page.select_one(".tlb-object table") is not None


@pytest.mark.parametrize("make", [explorer.tabs, explorer.slider])
@pytest.mark.parametrize(
    ("frames", "options", "sentence"),
    [
        ({}, {}, "at least one frame"),
        ([], {}, "at least one frame"),
        ({"a": "x", " a": "y"}, {}, "distinct"),
        ({"": "x"}, {}, "distinct"),
        ({"a": 3}, {}, "'a' is of the type int"),
        ({"a": "x"}, {"label": " "}, "label"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_sentence(make, frames, options, sentence):
    with pytest.raises(TlbookError, match=sentence) as refusal:
        make(frames, **options)
    assert "\n" not in str(refusal.value)


def test_a_figure_without_text_alternative_is_refused():
    with pytest.raises(TlbookError, match="'a' has no text alternative"):
        explorer.tabs({"a": figure()})
    plt.close("all")
