"""A Sphinx extension: numbers that prose does not repeat.

``{scales-table}`` prints what tlbook/scales.py says, ``{answers}`` and ``{answers-picture}`` what the records
say to each question. A question's page says under its title what it costs, as `tlbook plan` counts it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import pandas as pd
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tlbook import questions, scales
from tlbook.book import answers, records
from tlbook.question import Question

COSTED = ("smoke", "laptop")  # the scales whose cost a page names
PACE = 220  # words that are read in a minute


def scales_table() -> pd.DataFrame:
    """What distinguishes the scales: one column a scale, one row a property."""
    return pd.DataFrame({scale.name: _properties(scale) for scale in scales.SCALES.values()})


def _properties(scale: scales.Scale) -> dict[str, str]:
    tasks = scale.tasks.values()
    return {
        **{r: _breakable(scale.datasets.get(r, "–")) for r in (scales.SOURCE, *scales.TARGETS)},
        "network": _breakable(scale.network),
        "input": f"{scale.side} px",
        "pre-training": f"{scale.source.train:,} images × {scale.source.epochs} epochs",
        "training images a target": f"up to {_span(task.train for task in tasks)}",
        "epochs": _span(n for task in tasks for n in (task.epochs, task.random_epochs or task.epochs)),
        "batch": _span(task.batch for task in tasks),
        "rates, low and high": " and ".join(f"{rate:g}" for rate in scale.rates.values()),
        "block sizes": ", ".join(str(size) for size in scale.shuffles.sizes),
        "seeds": str(len(scale.seeds)),
        "verdicts": "yes" if scale.judged else "no: shows that everything works",
    }


def _breakable(name: str) -> str:
    """The name with places where a narrow column may break it."""
    return re.sub(r"([/_])", "\\1\N{ZERO WIDTH SPACE}", name)


def _span(numbers) -> str:
    found = sorted(set(numbers))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


class ScalesTable(SphinxDirective):
    has_content = True  # the caption

    def run(self):
        caption, messages = self.state.inline_text(" ".join(self.content), self.lineno)
        return [_nodes(scales_table(), [*caption, *messages])]


def _nodes(shown: pd.DataFrame, caption: list[nodes.Node]) -> nodes.table:
    """A docutils table with a caption, a head and one row per line of ``shown``."""
    element = nodes.table("", nodes.title("", "", *caption), classes=["scales-table"])
    group = nodes.tgroup(cols=len(shown.columns) + 1)
    group += [nodes.colspec(colwidth=1) for _ in range(len(shown.columns) + 1)]
    group += nodes.thead("", _row(["what", *shown.columns]))
    lines = zip(shown.index, shown.values, strict=True)
    group += nodes.tbody("", *(_row([name, *values]) for name, values in lines))
    element += group
    return element


def _row(texts) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", str(text))) for text in texts))


class Answers(SphinxDirective):
    """A list of what was found to each question, and what the numbers are."""

    def run(self):
        found = nodes.bullet_list(classes=["tlb-answers"])
        found += [nodes.list_item("", _paragraph(self, line)) for line in answers.lines()]
        return [found, _paragraph(self, answers.provenance())]


class AnswersPicture(SphinxDirective):
    """The picture of the same."""

    def run(self):
        picture = nodes.image(
            uri=f"_static/{answers.PICTURE.name}", alt=answers.alt(), classes=["dark-light"]
        )
        return [nodes.container("", picture, classes=["tlb-answers-picture"])]


def _paragraph(directive: SphinxDirective, text: str) -> nodes.paragraph:
    made, messages = directive.state.inline_text(text, directive.lineno)
    return nodes.paragraph("", "", *made, *messages)


def cost(shown: Sequence[Question], words: int) -> str:
    """What a page of these questions costs to read and to compute, in a line."""
    trained = []
    for name in COSTED:
        row = _plan(name).loc[[question.name for question in shown]].sum(numeric_only=True)
        passes = f"{row.passes / 1e6:.2g} million image-passes{_recorded(name, shown[0])}"
        trained.append(f"{row.runs:.0f} at {name} ({passes})" if row.runs else f"none at {name}")
    minutes = max(1, round(words / PACE))
    return f"{minutes} minutes to read \N{MIDDLE DOT} runs that no earlier page has: {', '.join(trained)}"


@functools.cache
def _plan(name: str) -> pd.DataFrame:
    from tlbook.questions import plan  # with it torch

    scale = plan.with_p(scales.get(name).replace(declared=True))  # without a look at real images
    return plan.plan(scale, scale.targets, scale.seeds).set_index("question")


def _recorded(scale: str, question: Question) -> str:
    if scale not in records.in_book(question.name):
        return ""
    made = records.provenance(scale, question.name, records.home(scale, question.name))
    return f"; recorded: {made['runs']} runs, {made['training_seconds'] / 3600:.1f} hours"


def add_cost(app: Sphinx, doctree: nodes.document) -> None:
    """Put the line below the title of a question's page."""
    name = app.env.docname.rpartition("/")[2]
    shown = [question for question in questions.every().values() if question.notebook == name]
    title = next(iter(doctree.findall(nodes.title)), None)
    if not shown or title is None:
        return
    words = sum(len(text.astext().split()) for text in doctree.findall(nodes.paragraph))
    line = nodes.paragraph("", cost(shown, words), classes=["tlb-cost"])
    title.parent.insert(title.parent.index(title) + 1, line)


def setup(app: Sphinx) -> dict:
    app.add_directive("scales-table", ScalesTable)
    app.add_directive("answers", Answers)
    app.add_directive("answers-picture", AnswersPicture)
    app.connect("doctree-read", add_cost)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
