"""A Sphinx extension: ``{scales-table}`` prints what tlbook/scales.py says: prose repeats no number."""

from __future__ import annotations

import re

import pandas as pd
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tlbook import scales


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


def setup(app: Sphinx) -> dict:
    app.add_directive("scales-table", ScalesTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
