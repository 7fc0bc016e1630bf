"""A Sphinx extension: numbers in prose come from the package, never from the keyboard.

``{paper}`figure2 role=real init=P-T rate=low checkpoint=final``` prints one value of tlbook/paper.json,
``{paper-table} figure7`` with the options rows, columns, where and format a table of them, and
``{scales-table}`` what tlbook/scales.py says.
"""

from __future__ import annotations

import re

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from tlbook import scales
from tlbook.errors import TlbookError
from tlbook.evidence import paper

ABSENT = "–"


def parse_where(text: str) -> dict[str, object]:
    """'role=real checkpoint=90' to {"role": "real", "checkpoint": 90}; a value with spaces goes in quotes."""
    found = re.findall(r"(\w+)=(\"[^\"]*\"|\S+)", text)
    values = {name: value.strip('"') for name, value in found}
    return {name: int(value) if value.isdigit() else value for name, value in values.items()}


def one(text: str) -> str:
    """What the role prints: '<figure> column=value …' to a number, as it stands in paper.json."""
    name, _, where = text.partition(" ")
    rows = paper.frame(name)
    wanted = {column: _like(rows, column, value) for column, value in parse_where(where).items()}
    return f"{paper.value(name, **wanted):g}"


def table(name: str, rows: list[str], columns: list[str], where: dict, form: str) -> tuple[pd.DataFrame, str]:
    """Rows x columns of formatted values in the paper's order, and a sentence on how exactly they are known.

    Several ``rows`` or ``columns`` are joined into one head: 'P-T & RI-T' for the two ends of a pair.
    TlbookError when a column is missing or a cell has two values.
    """
    frame = paper.frame(name)
    for column in (*rows, *columns, *where):
        if column not in frame:
            raise TlbookError(f"{name} has no column {column!r}; it has {', '.join(frame.columns)}.")
    for column, value in where.items():
        frame = frame[frame[column] == _like(frame, column, value)]
    if frame.empty:
        raise TlbookError(f"{name} has no values where {where}.")
    heads = _joined(frame, columns).unique()
    if len(rows) == 1 and pd.api.types.is_numeric_dtype(frame[rows[0]]):
        frame = frame.sort_values(rows[0], kind="stable")
    cells = pd.DataFrame({"row": _joined(frame, rows), "head": _joined(frame, columns)})
    if cells.duplicated().any():
        raise TlbookError(f"{name} has several values for one {' and '.join(rows + columns)}: narrow where.")
    wide = cells.assign(value=frame["value"]).pivot(index="row", columns="head", values="value")
    wide = wide.loc[cells["row"].unique(), heads]
    shown = wide.map(lambda value: ABSENT if pd.isna(value) else format(value, form))
    return shown, _exactness(name, frame["error"])


def _joined(frame: pd.DataFrame, columns: list[str]) -> pd.Series:
    """One text per row: the ends of a pair with '&' between them, everything else with commas."""
    text = frame[columns[0]].astype(str)
    for before, column in zip(columns, columns[1:], strict=False):
        text = text + (" & " if column == f"{before}_b" else ", ") + frame[column].astype(str)
    return text


def _like(frame: pd.DataFrame, column: str, value: object) -> object:
    """``value`` as text where the column holds text (block sizes), else as it is."""
    texts = column in frame and not pd.api.types.is_numeric_dtype(frame[column])
    return str(value) if texts else value


def _exactness(name: str, error: pd.Series) -> str:
    kind, number = re.fullmatch(r"([a-z]+)(\d+)", name).groups()
    where = f"{kind.capitalize()} {number}"
    if (error == 0).all():
        return f"The paper's {where}, printed values."
    low, high = error.min(), error.max()
    spread = f"±{high:g}" if low == high else f"±{low:g} to ±{high:g}"
    return f"The paper's {where}, values read from the plot, {spread}."


def scales_table() -> pd.DataFrame:
    """What distinguishes the scales: one column a scale, one row a property."""
    return pd.DataFrame({scale.name: _properties(scale) for scale in scales.SCALES.values()})


def _properties(scale: scales.Scale) -> dict[str, str]:
    tasks = scale.tasks.values()
    return {
        **{role: _breakable(dataset) for role, dataset in scale.datasets.items()},
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
        made = _nodes(scales_table(), _inline(self, " ".join(self.content)), "what")
        made["classes"] = ["scales-table"]
        return [made]


class PaperRole(SphinxRole):
    def run(self):
        try:
            return [nodes.Text(one(self.text))], []
        except TlbookError as error:
            message = self.inliner.reporter.warning(str(error), line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


class PaperTable(SphinxDirective):
    required_arguments = 1
    has_content = True  # the caption
    option_spec = {
        "rows": directives.unchanged_required,
        "columns": directives.unchanged_required,
        "where": directives.unchanged,
        "format": directives.unchanged,
    }

    def run(self):
        """The table's nodes, or an error that Sphinx reports where what it names is not there."""
        rows, columns = (re.findall(r"\w+", self.options[side]) for side in ("rows", "columns"))
        where = parse_where(self.options.get("where", ""))
        try:
            shown, source = table(self.arguments[0], rows, columns, where, self.options.get("format", "g"))
        except TlbookError as error:
            raise self.error(str(error)) from error
        caption = _inline(self, " ".join([*self.content, source]))
        return [_nodes(shown, caption, ", ".join(r for r in rows if not r.endswith("_b")).replace("_", " "))]


def _inline(directive: SphinxDirective, text: str) -> list[nodes.Node]:
    """A caption's marked-up text as nodes."""
    found, messages = directive.state.inline_text(text, directive.lineno)
    return [*found, *messages]


def _nodes(shown: pd.DataFrame, caption: list[nodes.Node], corner: str) -> nodes.table:
    """A docutils table with a caption, a head and one row per line of ``shown``."""
    element = nodes.table("", nodes.title("", "", *caption), classes=["paper-table"])
    group = nodes.tgroup(cols=len(shown.columns) + 1)
    group += [nodes.colspec(colwidth=1) for _ in range(len(shown.columns) + 1)]
    group += nodes.thead("", _row([corner, *shown.columns]))
    lines = zip(shown.index, shown.values, strict=True)
    group += nodes.tbody("", *(_row([name, *values]) for name, values in lines))
    element += group
    return element


def _row(texts) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", str(text))) for text in texts))


def setup(app: Sphinx) -> dict:
    app.add_role("paper", PaperRole())
    app.add_directive("paper-table", PaperTable)
    app.add_directive("scales-table", ScalesTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
