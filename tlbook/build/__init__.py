"""From notebooks and prose to an HTML book: stage, execute, gate, render.

The four steps are small modules; ``make`` is the order in which ``python -m tlbook.build`` takes them.
Nothing outside ``_build/<scale>/`` is written, so the tree stays clean; of several builds of one scale each
waits for the one before. Killed at any moment, a build leaves the pages that were there, or the new ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tlbook.errors import TlbookError


def make(root: Path, scale: str, timeout: int = 1800, say: Callable[[str], None] = print) -> Path:
    """Build the book at ``scale`` from the tree at ``root`` and return the path of its ``index.html``.

    ``timeout`` is in seconds, per cell. A notebook that fails does not stop the ones after it, but no page
    is rendered then: TlbookError names every failure. Interrupted, the notebooks that ended well are kept.
    """
    from tlbook.build import execute, render, stage  # not with any of these alone: it takes a second

    began = time.monotonic()
    mode = stage.mode_of(root, scale)
    with stage.alone(root, scale, say):
        staged = stage.stage(root, scale)
        say(f"Book at scale {scale}, results={mode}, in {staged.relative_to(root)}")
        failures = execute.execute_all(root, staged, {"scale": scale, "results": mode}, timeout, say)
        if failures:
            raise TlbookError("The book was not rendered:\n" + "\n".join(failures))
        index = render.render(staged, say)
    say(f"Done in {time.monotonic() - began:.0f} s. Open {index}")
    return index
