"""What an executed notebook must not contain. Jupyter Book renders failed notebooks without a word."""

from __future__ import annotations

import ast
import re

from nbformat import NotebookNode

SILENT = "no-output"  # the tag of a cell that ends in an expression and rightly shows nothing
BARE_REPR = re.compile(r"^<[^<>\n]* at 0x[0-9a-f]+>$|^<Figure size .*>$|^<Axes: .*>$")


def problems(notebook: NotebookNode) -> list[str]:
    """What is wrong, a phrase for each cell up to the first that raised an error, after which it counts the
    cells that were not reached; empty when the notebook may go into the book."""
    found = []
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for number, cell in enumerate(cells, 1):
        error = _error(cell)
        problem = error or _not_run(cell) or _empty(cell)
        if problem:
            found.append(f"code cell {number} ({_first_line(cell)}) {problem}")
        if error:
            rest = len(cells) - number
            return found + ([f"{rest} after it not executed"] if rest else [])
    if not found and notebook.metadata.get("papermill", {}).get("exception"):
        found.append("Papermill recorded an exception")
    return found


def shows(source: str) -> bool:
    """Whether a reader may expect an output: the last statement is an expression, not ended by ';'."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # magics: nothing is expected of them
        return False
    return bool(statements) and isinstance(statements[-1], ast.Expr) and not source.rstrip().endswith(";")


def _error(cell: NotebookNode) -> str | None:
    for output in cell.outputs:
        if output.output_type == "error":
            message = output.evalue.strip().splitlines() or ["no message"]
            return f"raised {output.ename}: {message[0]}"
    return None


def _not_run(cell: NotebookNode) -> str | None:
    status = cell.metadata.get("papermill", {}).get("status", "completed")
    if cell.execution_count is None or status != "completed":
        return "was not executed"
    return None


def _empty(cell: NotebookNode) -> str | None:
    if SILENT in cell.metadata.get("tags", []) or not shows(cell.source):
        return None
    texts = [_visible(output) for output in cell.outputs]
    if not any(texts):
        return "shows nothing"
    if all(text is None or BARE_REPR.match(text) for text in texts):
        return "shows only the name of an object"
    return None


def _visible(output: NotebookNode) -> str | None:
    """What a reader gets to see of one output, as text; None for nothing. The book drops stderr."""
    if output.output_type == "stream":
        return output.text.strip() or None if output.name == "stdout" else None
    rich = [str(value).strip() for kind, value in output.data.items() if kind != "text/plain"]
    return next((text for text in rich if text), None) or output.data.get("text/plain", "").strip() or None


def _first_line(cell: NotebookNode) -> str:
    line = cell.source.strip().splitlines()[0]
    return line if len(line) <= 60 else line[:57] + "..."
