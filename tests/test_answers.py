"""The answers that stand first are what the records say: in the picture, in README.md, on the front page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pandas as pd
import pytest

from tlbook.book import answers, records, scorecard

ROOT = records.REPOSITORY


def test_the_picture_and_the_readme_say_what_the_records_say():
    assert answers.PICTURE.read_text(encoding="utf-8") == answers.picture(), "python -m tlbook.book.answers"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for line in [*answers.lines(), answers.provenance()]:
        assert line in readme


def test_every_question_has_its_answer_from_a_statement_with_a_value_of_the_papers():
    _, found = answers.rows()
    assert [one.question[0] for one in answers.ANSWERS if one.question] == list("12345")
    for one in answers.ANSWERS:
        row = found[one.statement]
        assert row.low <= row.value <= row.high and not pd.isna(row.paper)


def test_a_lead_is_the_mean_over_targets_and_seeds_of_the_recorded_ends():
    """The first answer, from the table itself: the better rate on dev, the last epoch, P-T minus RI-T."""
    table = records.load("laptop", "feature_reuse", "learning_curves")
    ends = table[(table.epoch == table.groupby(["role", "init", "rate", "seed"]).epoch.transform("max"))]
    ends = ends[ends.metric.eq("accuracy") & ends.role.ne("xray")]
    wide = ends.pivot_table(
        index=["role", "init", "rate", "seed"], columns="split", values="value"
    ).reset_index()
    dev = wide.groupby(["role", "init", "rate"]).dev.mean()
    best = dev.groupby(["role", "init"]).idxmax()
    kept = [wide[(wide.role == r) & (wide.init == i) & (wide.rate == rate)] for r, i, rate in best]
    means = pd.concat(kept).groupby(["role", "init"]).test.mean().unstack()
    lead = (means["P-T"] - means["RI-T"]).mean()
    _, found = answers.rows()
    assert found["1a"].value == pytest.approx(lead, abs=1e-6)


def test_marks_stand_where_the_numbers_say():
    """Along each line ours and the paper's are apart as their numbers are, whatever the axis."""
    drawn = ElementTree.fromstring(answers.picture())
    name = "{http://www.w3.org/2000/svg}"
    dots = [float(one.get("cx")) for one in drawn.iter(f"{name}circle")][1:]  # the first is the key's
    diamonds = [float(one.get("points").split(",")[0]) for one in drawn.iter(f"{name}polygon")][1:]
    zeros = [float(one.get("x1")) for one in drawn.iter(f"{name}line") if one.get("stroke") == "#777"]
    _, found = answers.rows()
    for one, dot, diamond, zero in zip(answers.ANSWERS, dots, diamonds, zeros, strict=True):
        row, nothing = found[one.statement], 1 if one.ratio else 0
        ours, paper = one.shown(row.value) - nothing, one.shown(row.paper) - nothing
        assert (dot - zero) * paper == pytest.approx(
            (diamond - zero) * ours, abs=0.3 * (abs(ours) + abs(paper))
        )


def test_the_sentences_are_the_readers_numbers(monkeypatch):
    """Other records, other sentences: nothing is typed."""
    scale, judged = next(iter(scorecard.read().items()))
    other = judged.assign(value=judged.value + 1, low=judged.low + 1, high=judged.high + 1)
    before = answers.lines()
    monkeypatch.setattr(scorecard, "read", lambda: {scale: other})
    assert all(new != old for new, old in zip(answers.lines(), before, strict=True))
    assert re.search(r"ends 8\.4 \(7\.6 to 9\.2\) points", answers.lines()[0])
