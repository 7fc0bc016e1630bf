"""The one exception that users are meant to read."""


class TlbookError(ValueError):
    """Bad input, said in one sentence: what was wrong, and what is valid."""
