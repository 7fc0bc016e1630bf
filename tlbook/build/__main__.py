"""``python -m tlbook.build --scale smoke``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tlbook.build import make
from tlbook.errors import TlbookError


def main(arguments: list[str] | None = None) -> int:
    """0 when the book was made, 1 with the reason on stderr when it was not."""
    parser = argparse.ArgumentParser(prog="python -m tlbook.build", description="Build the tlbook book.")
    parser.add_argument("--scale", default="smoke", help="smoke trains; any other scale renders its records")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository (default: here)")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds that one cell may take")
    given = parser.parse_args(arguments)
    try:
        make(given.root.resolve(), given.scale, given.timeout)
    except TlbookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
