"""The one exception that users are meant to read."""


class TlbookError(ValueError):
    """Bad input, said in one sentence: what was wrong, and what is valid."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook prints instead of a traceback."""
        return [f"TlbookError: {self}"]
