"""``python -m tlbook.build --scale smoke``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tlbook import settings
from tlbook.errors import door


def main(arguments: list[str] | None = None) -> int:
    """0 when the book was made, 1 with the reason on stderr when it was not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tlbook.build", description="Build the tlbook book.")
    parser.add_argument("--scale", default="smoke", help="smoke trains; any other scale renders its records")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository (default: here)")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds that one cell may take")
    given = parser.parse_args(arguments)
    try:
        with door(code=1):
            from tlbook.build import make  # within, since it takes a second to import

            settings.settle()
            make(settings.absolute(given.root).resolve(), given.scale, given.timeout)
    except SystemExit as end:
        return end.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
