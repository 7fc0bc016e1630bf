"""Figures that readers can move: tabs and a slider, as one HTML object each.

They work in a static page, without a kernel and without a network. ``tabs`` needs no script at all;
``slider`` needs a line of it and shows its first frame without. Both nest: ``tabs({"real": slider(...)})``.
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
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from tlbook.errors import TlbookError

DPI = 110
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[([^\]]+)\]\((#[\w-]+)\)")
_DISPLAYS = itertools.count(1)  # makes the ids of two displays of the same object differ

# Colours come from the theme where there is one, so that dark mode follows; figures keep a white face.
_STYLE = """
.tlb{margin:.75rem 0 1.25rem;color:inherit;font-size:1rem}
.tlb .tlb{margin:.25rem 0 0}
.tlb-radio,.tlb-name{position:absolute;width:1px;height:1px;margin:-1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.tlb-bar{display:flex;flex-wrap:wrap;gap:.25rem;border-bottom:1px solid var(--pst-color-border,#bbb)}
.tlb-bar label{padding:.35rem .8rem;cursor:pointer;border-bottom:3px solid transparent;margin-bottom:-1px;
 color:var(--pst-color-text-muted,inherit)}
.tlb-bar label:hover{background:var(--pst-color-surface,rgba(128,128,128,.15))}
.tlb-panel,.tlb-frame[hidden]{display:none}
.tlb-panel,.tlb-frame{padding-top:.6rem}
.tlb-control{display:flex;flex-wrap:wrap;align-items:center;gap:.3rem .8rem}
.tlb-control input{flex:1 1 10rem;max-width:28rem;height:1.75rem;
 accent-color:var(--pst-color-primary,#176de8);cursor:pointer}
.tlb-control output{min-width:4ch;font-weight:600;font-variant-numeric:tabular-nums}
.tlb-figure{overflow-x:auto;border-radius:.3rem;background:#fff}
.tlb-figure img{display:block;height:auto;max-width:100%;min-width:min(100%,var(--tlb-least));margin:0 auto}
html .bd-content div.cell_output .tlb-figure img{background:#fff;filter:none;border-radius:0;padding:0}
html[data-theme=dark] .bd-content div.cell_output .text_html.output:has(>div.tlb){
 background:none;color:inherit;padding:0}
.tlb-caption{font-size:.8rem;color:var(--pst-color-text-muted,#555);margin:.4rem 0 0;overflow-wrap:anywhere}
.tlb-table{overflow-x:auto}
.tlb-table table{font-size:.85rem;border-collapse:collapse;margin:.3rem 0}
.tlb-table th,.tlb-table td{padding:.2rem .7rem;text-align:left!important;vertical-align:top}
.tlb-table tbody tr{border-top:1px solid var(--pst-color-border,#ccc)}
.tlb summary{cursor:pointer;padding:.3rem 0}
@media (max-width:600px){.tlb-figure img{max-width:none;width:max(100%,var(--tlb-least));min-width:0}}
@media print{.tlb-panel,.tlb-frame[hidden]{display:block!important}.tlb-control{display:none}}
"""

# The frame that the slider's value counts is shown, and its label is read out.
_MOVE = (
    "var f=this.closest('.tlb').querySelector('.tlb-frames').children,c=f[this.value].dataset.label;"
    "for(var i=0;i<f.length;i++)f[i].hidden=i!=this.value;"
    "this.setAttribute('aria-valuetext',c);this.parentNode.querySelector('output').textContent=c"
)


class Explorer:
    """What ``tabs`` and ``slider`` return; it draws itself in notebooks and pages."""

    def __init__(self, kind: str, name: str, panels: dict[str, _Panel]):
        self.kind, self.name, self.panels = kind, name, panels

    def __repr__(self) -> str:
        return f"{self.name} ({self.kind}: {', '.join(self.panels)})"

    def _repr_html_(self) -> str:
        return f"<style>{_STYLE}</style>{self._draw(f'tlb{next(_DISPLAYS)}-{self._digest()}')}"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}

    def _digest(self) -> str:
        """Eight characters that depend on what is shown: ids stay apart on pages of several notebooks."""
        text = "".join(label + panel.draw("") for label, panel in self.panels.items())
        return hashlib.sha256((self.kind + self.name + text).encode()).hexdigest()[:8]

    def _draw(self, prefix: str) -> str:
        return (_draw_tabs if self.kind == "tabs" else _draw_slider)(self, prefix)


class _Panel:
    """One frame, already turned into HTML, so that its figure could be closed."""

    def __init__(self, content: str | Explorer, caption: str = ""):
        self.content, self.caption = content, caption

    def draw(self, prefix: str) -> str:
        content = self.content._draw(prefix) if isinstance(self.content, Explorer) else self.content
        return content + self.caption


def _text(text: str, kind: str) -> str:
    """A paragraph of that class; `code` in backticks."""
    marked = LINK.sub(r"<a href='\2'>\1</a>", CODE.sub(r"<code>\1</code>", html.escape(text)))
    return f'<p class="{kind}">{marked}</p>'


def tabs(frames: Mapping[Any, Any], alt: str = "", label: str = "Choose") -> Explorer:
    """Frames of which the reader chooses one by its label, the first to begin with.

    A frame is a matplotlib Figure (its text alternative is ``figure.alt`` where set, else ``alt`` and the
    frame's label), an Explorer, a text (`code` in backticks), or any object with
    ``_repr_html_``. Figures are closed. ``label`` names the choice for screen readers. Refused: no frames,
    a figure without a text alternative.
    """
    return Explorer("tabs", label, _panels(frames, alt, label))


def slider(frames: Mapping[Any, Any], alt: str = "", label: str = "Frame") -> Explorer:
    """Frames that the reader moves through, the first to begin with; ``label`` stands before the slider.

    Frames as in ``tabs``; their order is that of the mapping.
    """
    return Explorer("slider", label, _panels(frames, alt, label))


@dataclass(frozen=True)
class Captioned:
    """A frame with a line of small text below it (`code` and [links](#here)), such as where it comes from."""

    frame: Any
    caption: str


def _panels(frames: Mapping[Any, Any], alt: str, label: str) -> dict[str, _Panel]:
    if not isinstance(frames, Mapping) or not frames:
        raise TlbookError("An explorer needs at least one frame: give a mapping of labels to figures.")
    if not str(label).strip():
        raise TlbookError("An explorer needs a label that says what is chosen.")
    names = [str(name).strip() for name in frames]
    if "" in names or len(set(names)) < len(names):
        raise TlbookError(f"The labels of an explorer's frames must be distinct words, not {names}.")
    made = {name: _panel(frame, alt, name) for name, frame in zip(names, frames.values(), strict=True)}
    for frame in map(_bare, frames.values()):  # only now: one figure may stand in several frames
        if isinstance(frame, Figure):
            plt.close(frame)
    return made


def _bare(frame: Any) -> Any:
    return frame.frame if isinstance(frame, Captioned) else frame


def _panel(frame: Any, alt: str, name: str) -> _Panel:
    if isinstance(frame, Captioned):
        return _Panel(_panel(frame.frame, alt, name).content, _text(frame.caption, "tlb-caption"))
    if isinstance(frame, Figure):
        own = getattr(frame, "alt", "") or (f"{alt.rstrip('. ')}: {name}" if alt.strip() else "")
        if not own:
            raise TlbookError(f"The figure {name!r} has no text alternative: give alt, or set figure.alt.")
        return _Panel(_image(frame, own))
    if isinstance(frame, Explorer):
        return _Panel(frame)
    if isinstance(frame, str):
        return _Panel(_text(frame, "tlb-text"))
    if hasattr(frame, "_repr_html_"):
        return _Panel(f'<div class="tlb-object">{frame._repr_html_()}</div>')
    kind = type(frame).__name__
    raise TlbookError(f"The frame {name!r} is of the type {kind}; give a figure, an explorer, or a text.")


def _image(figure: Figure, alt: str) -> str:
    """A figure as one inline PNG on white; ``--tlb-least`` keeps its letters readable on a phone."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=DPI,
        facecolor="white",
        transparent=False,
        bbox_inches="tight",
        metadata={"Software": None},
    )
    data = buffer.getvalue()
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))  # the PNG's header
    return (
        f'<div class="tlb-figure" tabindex="0" role="group" aria-label="Figure; scrolls sideways if narrow">'
        f'<img class="dark-light" src="data:image/png;base64,{base64.b64encode(data).decode()}" '
        f'alt="{html.escape(alt)}" width="{width}" height="{height}" '
        f'style="--tlb-least:{round(width * 0.6)}px"></div>'
    )


def _draw_tabs(explorer: Explorer, prefix: str) -> str:
    """Radio buttons and panels; rules by id show the panel of the checked one, so no script is needed."""
    name = html.escape(explorer.name)
    radios, labels, panels, rules = [], [], [], []
    for number, (label, panel) in enumerate(explorer.panels.items()):
        radio, shown, text = f"{prefix}-r{number}", f"{prefix}-p{number}", html.escape(label)
        checked = " checked" if number == 0 else ""
        radios.append(
            f'<input class="tlb-radio" type="radio" name="{prefix}" id="{radio}" autocomplete="off"{checked}>'
        )
        labels.append(f'<label for="{radio}" id="{radio}-l">{text}</label>')
        panels.append(
            f'<div class="tlb-panel" id="{shown}" role="group" aria-labelledby="{radio}-l">'
            f"{panel.draw(shown)}</div>"
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
        f'{"".join(radios)}<div class="tlb-bar">{"".join(labels)}</div>'
        f'<div class="tlb-panels">{"".join(panels)}</div></div>'
    )


def _draw_slider(explorer: Explorer, prefix: str) -> str:
    """A range input, what it stands at, and the frames, of which all but the first are hidden."""
    name, first = html.escape(explorer.name), html.escape(next(iter(explorer.panels)))
    frames = "".join(
        f'<div class="tlb-frame" id="{prefix}-f{number}" data-label="{html.escape(label)}"'
        f"{' hidden' if number else ''}>{panel.draw(f'{prefix}-f{number}')}</div>"
        for number, (label, panel) in enumerate(explorer.panels.items())
    )
    return (
        f'<div class="tlb"><div class="tlb-control"><label for="{prefix}-s">{name}</label>'
        f'<input type="range" id="{prefix}-s" min="0" max="{len(explorer.panels) - 1}" step="1" value="0" '
        f'autocomplete="off" aria-valuetext="{first}" oninput="{html.escape(_MOVE)}">'
        f'<output for="{prefix}-s">{first}</output></div>'
        f'<div class="tlb-frames">{frames}</div></div>'
    )
