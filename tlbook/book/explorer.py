"""Figures that readers can move: tabs and a slider, as one HTML object each.

They work in a static page, without a kernel and without a network. ``tabs`` needs no script at all;
``slider`` needs a line of it. Both nest: ``tabs({"real": slider(...)})``. Where a page takes styles and
scripts away, as Jupyter does in notebooks that are not trusted, what chooses is ``hidden``, the frames of
tabs stand one below the other with their names, and those of a slider open by theirs.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from tlbook.errors import TlbookError
from tlbook.evidence import style

DPI = 110
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[([^\]]+)\]\((#[\w-]+)\)")
_DISPLAYS = itertools.count(1)  # makes the ids of two displays of the same object differ

_STYLE = Path(__file__).with_suffix(".css").read_text()

# The frame that the slider's value counts is shown, and its label is read out.
_MOVE = (
    "var f=this.closest('.tlb').querySelector('.tlb-frames').children,c=f[this.value].dataset.label;"
    "for(var i=0;i<f.length;i++)f[i].open=i==this.value;"
    "this.setAttribute('aria-valuetext',c);this.parentNode.querySelector('output').textContent=c"
)


@dataclass(frozen=True, repr=False)
class Explorer:
    """What ``tabs`` and ``slider`` return; it draws itself in notebooks and pages.

    ``panels`` are the frames by label, in pieces one after the other, already turned into HTML so that their
    figures could be closed. ``caption`` stands below, whichever frame is shown.
    """

    kind: str
    name: str
    panels: dict[str, list[str | Explorer]]
    caption: str = ""

    def __repr__(self) -> str:
        return f"{self.name} ({self.kind}: {', '.join(self.panels)})"

    def _repr_html_(self) -> str:
        return f"<style>{_STYLE}</style>{self._draw(f'tlb{next(_DISPLAYS)}-{self._digest()}')}"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}

    def _digest(self) -> str:
        """Eight characters that depend on what is shown: ids stay apart on pages of several notebooks."""
        return hashlib.sha256(self._draw("").encode()).hexdigest()[:8]

    def _draw(self, prefix: str) -> str:
        drawn = (_draw_tabs if self.kind == "tabs" else _draw_slider)(self, prefix)
        return drawn + (_caption(self.caption) if self.caption else "")

    def _panel(self, label: str, prefix: str) -> str:
        """The HTML of a frame, whose ids begin with ``prefix``."""
        pieces = self.panels[label]
        return "".join(piece._draw(prefix) if isinstance(piece, Explorer) else piece for piece in pieces)


def _text(text: str, kind: str) -> str:
    """A paragraph of that class; `code` in backticks."""
    return f'<p class="{kind}">{_marked(text)}</p>'


def _marked(text: str) -> str:
    return LINK.sub(r"<a href='\2'>\1</a>", CODE.sub(r"<code>\1</code>", html.escape(text)))


def _caption(text: str) -> str:
    """ "Figure 1.2. What to see": the number in bold, and as the place that ``#figure-1-2`` leads to."""
    number, _, words = text.partition(". ")
    place = re.sub(r"\W+", "-", " ".join(number.lower().split()[:2]))
    return f'<p class="tlb-caption" id="{place}"><b>{html.escape(number)}.</b> {_marked(words)}</p>'


def tabs(frames: Mapping[Any, Any], alt: str = "", label: str = "Choose", caption: str = "") -> Explorer:
    """Frames of which the reader chooses one by its label, the first to begin with; no choice where there is
    one. ``caption`` begins with a number: "Figure 1.2. Words".

    A frame is a matplotlib Figure (its text alternative is ``figure.alt`` where set, else ``alt`` and the
    frame's label), an Explorer, a text (`code` in backticks), or any object with
    ``_repr_html_``. Figures are closed. ``label`` names the choice for screen readers. Refused: no frames,
    a figure without a text alternative.
    """
    return Explorer("tabs", label, _panels(frames, alt, label), caption)


def slider(frames: Mapping[Any, Any], alt: str = "", label: str = "Frame") -> Explorer:
    """Frames that the reader moves through, the first to begin with; ``label`` stands before the slider.

    Frames as in ``tabs``; their order is that of the mapping.
    """
    return Explorer("slider", label, _panels(frames, alt, label))


@dataclass(frozen=True)
class Made:
    """A frame with how it was made, folded behind a few words (`code` and [links](#here) in either)."""

    frame: Any
    words: str
    how: str


def _panels(frames: Mapping[Any, Any], alt: str, label: str) -> dict[str, list[str | Explorer]]:
    if not isinstance(frames, Mapping) or not frames:
        raise TlbookError("An explorer needs at least one frame: give a mapping of labels to figures.")
    if not str(label).strip():
        raise TlbookError("An explorer needs a label that says what is chosen.")
    names = [str(name).strip() for name in frames]
    if "" in names or len(set(names)) < len(names):
        raise TlbookError(f"The labels of an explorer's frames must be distinct words, not {names}.")
    made = {name: _pieces(frame, alt, name) for name, frame in zip(names, frames.values(), strict=True)}
    for frame in frames.values():  # only now: one figure may stand in several frames
        shown = frame.frame if isinstance(frame, Made) else frame
        if isinstance(shown, Figure):
            plt.close(shown)
    return made


def _pieces(frame: Any, alt: str, name: str) -> list[str | Explorer]:
    if isinstance(frame, Made):
        words, how = _marked(frame.words), _text(frame.how, "tlb-how")
        folded = f'<details class="tlb-made"><summary>{words}</summary>{how}</details>'
        return [*_pieces(frame.frame, alt, name), folded]
    if isinstance(frame, Figure):
        own = getattr(frame, "alt", "") or (f"{alt.rstrip('. ')}: {name}" if alt.strip() else "")
        if not own:
            raise TlbookError(f"The figure {name!r} has no text alternative: give alt, or set figure.alt.")
        return [_image(frame, own)]
    if isinstance(frame, Explorer):
        return [frame]
    if isinstance(frame, str):
        return [_text(frame, "tlb-text")]
    if hasattr(frame, "_repr_html_"):
        return [f'<div class="tlb-object">{frame._repr_html_()}</div>']
    kind = type(frame).__name__
    raise TlbookError(f"The frame {name!r} is of the type {kind}; give a figure, an explorer, or a text.")


def _image(figure: Figure, alt: str) -> str:
    """A figure as an inline PNG on white, and a second one for phones if its panels can stand in one column.

    Else ``--tlb-least`` keeps its letters readable there, and it scrolls. Figures follow a dark page, but
    where lightness means something: photographs and heat maps (explorer.css turns it round).
    """
    shades = any(ax.images or any(isinstance(c, QuadMesh) for c in ax.collections) for ax in figure.axes)
    data, width, height = _png(figure)
    narrow = ""
    if style.stack(figure):
        source, *size = _png(figure)
        narrow = f'<source media="(max-width: 600px)" srcset="{source}" width="{size[0]}" height="{size[1]}">'
    kinds = " ".join(["tlb-figure", *["tlb-fits"] * bool(narrow), *["tlb-plot"] * (not shades)])
    scrolls = "" if narrow else ' tabindex="0" role="group" aria-label="Figure; scrolls sideways if narrow"'
    return (
        f'<div class="{kinds}"{scrolls}><picture>{narrow}<img class="dark-light" src="{data}" '
        f'alt="{html.escape(alt)}" width="{width}" height="{height}" '
        f'style="--tlb-least:{round(width * 0.6)}px"></picture></div>'
    )


def _png(figure: Figure) -> tuple[str, int, int]:
    """A figure's PNG as a data URL, and its width and height in pixels."""
    buffer = io.BytesIO()
    look = {"facecolor": "white", "transparent": False, "bbox_inches": "tight"}
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None}, **look)
    data = buffer.getvalue()
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))  # the PNG's header
    return f"data:image/png;base64,{base64.b64encode(data).decode()}", width, height


def _draw_tabs(explorer: Explorer, prefix: str) -> str:
    """Radio buttons and panels; rules by id show the panel of the checked one, so no script is needed."""
    if len(explorer.panels) == 1:  # no choice: nothing to stop at on the way by keyboard
        (label,) = explorer.panels
        only = explorer._panel(label, f"{prefix}-p0")
        return f'<div class="tlb"><div class="tlb-panel tlb-only">{only}</div></div>'
    name = html.escape(explorer.name)
    radios, labels, panels, rules = [], [], [], []
    for number, label in enumerate(explorer.panels):
        radio, shown, text = f"{prefix}-r{number}", f"{prefix}-p{number}", html.escape(label)
        checked = " checked" if number == 0 else ""
        radios.append(
            f'<input class="tlb-radio" type="radio" name="{prefix}" id="{radio}" autocomplete="off"'
            f' hidden="hidden"{checked}>'
        )
        labels.append(f'<label for="{radio}" id="{radio}-l">{text}</label>')
        panels.append(
            f'<div class="tlb-panel" id="{shown}" role="group" aria-labelledby="{radio}-l">'
            f'<p class="tlb-name"><b>{text}</b></p>'
            f"{explorer._panel(label, shown)}</div>"
        )
        rules.append(
            f"#{radio}:checked~.tlb-panels>#{shown}{{display:block}}"
            f"#{radio}:checked~.tlb-bar>[for={radio}]{{color:inherit;font-weight:600;"
            f"border-bottom-color:var(--pst-color-primary,#176de8)}}"
            f"#{radio}:focus-visible~.tlb-bar>[for={radio}]"
            f"{{outline:2px solid var(--pst-color-primary,#176de8)}}"
        )
    return (
        f'<div class="tlb" role="group" aria-label="{name}"><style>{"".join(rules)}</style>'
        f'{"".join(radios)}<div class="tlb-bar" hidden="hidden">{"".join(labels)}</div>'
        f'<div class="tlb-panels">{"".join(panels)}</div></div>'
    )


def _draw_slider(explorer: Explorer, prefix: str) -> str:
    """A range input, what it stands at, and the frames, of which all but the first are closed."""
    name, first = html.escape(explorer.name), html.escape(next(iter(explorer.panels)))
    frames = "".join(
        f'<details class="tlb-frame" id="{prefix}-f{number}" data-label="{html.escape(label)}"'
        f"{'' if number else ' open'}><summary>{name}: {html.escape(label)}</summary>"
        f"{explorer._panel(label, f'{prefix}-f{number}')}</details>"
        for number, label in enumerate(explorer.panels)
    )
    return (
        f'<div class="tlb"><div class="tlb-control" hidden="hidden"><label for="{prefix}-s">{name}</label>'
        f'<input type="range" id="{prefix}-s" min="0" max="{len(explorer.panels) - 1}" step="1" value="0" '
        f'autocomplete="off" aria-valuetext="{first}" oninput="{html.escape(_MOVE)}">'
        f'<output for="{prefix}-s">{first}</output></div>'
        f'<div class="tlb-frames">{frames}</div></div>'
    )
