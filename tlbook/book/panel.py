"""Widgets in a notebook that a reader has open: its parameters, *run* with progress, figures that follow.

It is made from `tlbook.book.parameters.Parameters`, the schema of what Papermill passes. *Run* gives the
notebook the chosen values and runs its cells again, from the one that begins the page on, where they stand:
what they show takes the place of what they showed. Where nobody sits at the other end (Papermill, the book)
there is no panel, and nothing is imported for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import io
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from IPython import get_ipython
from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell
from IPython.display import display, publish_display_data

from tlbook import scales
from tlbook.book import parameters
from tlbook.errors import INTERRUPTED, SAID, sentence
from tlbook.scales import LARGEST_SEED

BAR = re.compile(r"(?P<what>.*?):\s+(?P<percent>\d+)%\|.*<(?P<left>[\d:]+|\?)")  # a line that tqdm writes
UNSET = "Empty, nothing chosen and 0 mean: as the scale says. Run trains what is missing."


def attach(scope: Mapping[str, object], shown: Sequence[type]) -> None:
    """Show the panel of a notebook (its ``globals()``) in the cell that runs, if a reader has it open; else
    pass what it writes to stderr, its progress, on to the terminal that it was started from, if there is one.

    ``shown`` are the types of what its cells show. Called by cells that a panel runs again, it does nothing.
    """
    shell = get_ipython()
    if not hasattr(shell, "kernel") or runs():  # no notebook, or one whose panel is there
        return
    message = shell.kernel.get_parent()
    if not message.get("content", {}).get("allow_stdin"):  # nobody is there to be asked: Papermill, the book
        _to_the_terminal()
        return
    with contextlib.suppress(ModuleNotFoundError):
        import ipywidgets  # noqa: F401

        if not hasattr(shell, "tlbook_page"):
            shell.tlbook_page = Page(shell, shown, message)
        display(Panel(shell.tlbook_page, scope).box)


def runs() -> bool:
    """Whether a panel runs the cells."""
    page = getattr(get_ipython(), "tlbook_page", None)
    return page is not None and page.running


def _to_the_terminal() -> None:
    """Let ipykernel write stderr to the terminal too: it keeps the file whose place it took, or took none."""
    kept = getattr(sys.stderr, "_original_stdstream_copy", None) or 2
    if sys.stderr.echo is None and os.isatty(kept):
        sys.stderr.echo = open(os.dup(kept), "w", encoding="utf-8")


class Page:
    """The cells of a notebook from the one that begins it on, in the order of their first run, and where what
    each shows stands."""

    def __init__(self, shell: InteractiveShell, shown: Sequence[type], message: Mapping[str, Any]):
        self.shell, self.running, self.cells = shell, False, {}
        self._enter(message.get("metadata", {}).get("cellId"), shell.history_manager.input_hist_raw[-1])
        shell.events.register("pre_run_cell", self._begins)
        shell.events.register("post_run_cell", self._ended)
        for kind in shown:
            shell.display_formatter.ipython_display_formatter.for_type(kind, self._show)

    def _enter(self, cell: str | None, source: str) -> None:
        """Note the cell that runs, by its id, or its source where the front end sends none."""
        self._name, self._source, self._places = cell or source, source, 0

    def _begins(self, info: ExecutionInfo) -> None:
        if not self.running:
            self._enter(info.cell_id, info.raw_cell)

    def _ended(self, result: ExecutionResult) -> None:
        if not self.running and result.success:
            self.cells[self._name] = self._source

    def _show(self, one: Any) -> None:
        """Show something so that it can be found again, or in the place of what its cell showed before."""
        name = hashlib.sha256(f"{self._name} {self._places}".encode()).hexdigest()[:16]
        self._places += 1
        data = {"text/html": one._repr_html_(), "text/plain": repr(one)}
        publish_display_data(data, transient={"display_id": name}, update=self.running)

    def run(self, values: Mapping[str, object], tell: Callable[[str, int], None]) -> str:
        """Give the notebook values, and run its cells again; what went wrong in words, '' if nothing.

        ``tell`` is told what is being done, and how far it is in percent.
        """
        self.running = True
        self.shell.user_ns.update(values)
        try:
            for place, (name, source) in enumerate(list(self.cells.items())):
                self._enter(name, source)
                tell(f"Cell {place + 1} of {len(self.cells)}", 100 * place // len(self.cells))
                with contextlib.redirect_stderr(Progress(tell)):
                    result = self.shell.run_cell(source, store_history=False)
                if error := result.error_before_exec or result.error_in_exec:
                    return _said(error)
        finally:
            self.running = False
        return ""


def _said(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return sentence(error) if isinstance(error, SAID) else f"{type(error).__name__}: {error}"


class Progress(io.TextIOBase):
    """A stream that reads tqdm's bars, and tells what is being done and how far it is."""

    def __init__(self, tell: Callable[[str, int], None]):
        self.tell = tell

    def write(self, text: str) -> int:
        for bar in BAR.finditer(text.replace("\r", "\n")):
            self.tell(f"{bar['what'].strip()}, {bar['left']} left", int(bar["percent"]))
        return len(text)


class Panel:
    """The widgets of the parameters that a notebook declares, and what *run* does."""

    def __init__(self, page: Page, scope: Mapping[str, Any]):
        import ipywidgets

        self.page = page
        names = parameters.declared([str(cell) for cell in scope["In"]])
        scale = parameters.read({"scale": scope.get("scale", "smoke")}).scale
        self.widgets = {name: _widget(name, scope[name], scale) for name in names}
        self.button = ipywidgets.Button(description="Run", button_style="primary", icon="play")
        self.bar = ipywidgets.IntProgress(max=100, layout={"visibility": "hidden"})
        self.said = ipywidgets.HTML(UNSET)
        self.button.on_click(self._run)
        if "scale" in self.widgets:
            self.widgets["scale"].observe(self._of_scale, "value")
        line = ipywidgets.HBox([self.button, self.bar, self.said], layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([*self.widgets.values(), line])

    def values(self) -> dict[str, object]:
        """What is chosen, as the notebook's parameters cell would hold it."""
        chosen = {name: widget.value for name, widget in self.widgets.items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}

    def _of_scale(self, _: object) -> None:
        """Offer the choices of the chosen scale."""
        for name, widget in self.widgets.items():
            if name != "scale" and (choices := _choices(name, self.widgets["scale"].value)):
                widget.options = choices

    def _run(self, _: object) -> None:
        self.button.disabled, self.bar.layout.visibility = True, "visible"
        try:
            values = self.values()
            parameters.read(values)  # refuses, before anything of the page is changed
            wrong = self.page.run(values, self._tell)
        except SAID as error:
            wrong = sentence(error)
        finally:
            self.button.disabled, self.bar.layout.visibility = False, "hidden"
        self.said.value = f"<span role='alert'>{html.escape(wrong)}</span>" if wrong else "Done."

    def _tell(self, what: str, percent: int) -> None:
        self.bar.value, self.said.value = percent, html.escape(what)


def _widget(name: str, value: Any, scale: str) -> Any:
    """The widget of a parameter, at the value that the notebook gave it."""
    import ipywidgets

    field, choices = parameters.FIELDS[name], _choices(name, scale)
    read = field.metadata["read"](name, value)
    how = {"description": name, "tooltip": field.metadata["about"]}
    how |= {"style": {"description_width": "8rem"}, "layout": {"width": "min(100%, 36rem)"}}
    if field.default is None:
        return ipywidgets.BoundedIntText(read or 0, max=LARGEST_SEED, **how)
    if choices and isinstance(read, tuple):
        return ipywidgets.SelectMultiple(options=choices, value=read, rows=min(len(choices), 5), **how)
    if choices:
        return ipywidgets.Dropdown(options=choices, value=read, **how)
    text = ", ".join(map(str, read)) if isinstance(read, tuple) else read
    return ipywidgets.Text(text, placeholder=field.metadata["about"], **how)


def _choices(name: str, scale: str) -> list:
    choices = parameters.FIELDS[name].metadata.get("choices")
    return list(choices(scales.get(scale))) if choices else []
