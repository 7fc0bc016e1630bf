"""Checks of values where they are made: what each must be, in words, and the one refusal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from tlbook.errors import TlbookError

Valid = tuple[str, Callable[[Any], bool]]  # what a value must be, in words, and whether one is


def whole(least: int, most: float = math.inf) -> Valid:
    """A whole number (True is none)."""
    up_to = "" if most == math.inf else f" and at most {most}"
    words = f"a whole number of at least {least}{up_to}"
    return words, lambda value: type(value) is int and least <= value <= most


def number(words: str, fits: Callable[[float], bool]) -> Valid:
    """A finite number for which ``fits`` holds."""

    def valid(value: Any) -> bool:
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        return plain and math.isfinite(value) and fits(value)

    return words, valid


def one_of(*values: Any) -> Valid:
    """One of these values."""
    return f"one of {', '.join(map(str, values))}", lambda value: any(
        value is v or value == v for v in values
    )


def optional(valid: Valid) -> Valid:
    """None, or what is valid."""
    return f"{valid[0]}, or None", lambda value: value is None or valid[1](value)


def either(first: Valid, second: Valid) -> Valid:
    """What one of the two holds valid."""
    return f"{first[0]} or {second[0]}", lambda value: first[1](value) or second[1](value)


def several(valid: Valid, least: int = 1) -> Valid:
    """A tuple of different valid values, of at least that many."""

    def fits(values: Any) -> bool:
        listed = isinstance(values, tuple) and len(values) >= least and all(map(valid[1], values))
        return listed and len(set(values)) == len(values)

    return f"{'one or more' if least else 'any number'} of different values, each {valid[0]}", fits


def named(valid: Valid, *names: str) -> Valid:
    """A mapping of names to valid values, with just these names if any are given."""

    def fits(values: Any) -> bool:
        there = isinstance(values, Mapping) and (not names or set(values) == set(names))
        return there and all(map(valid[1], values.values()))

    return f"a value by {' and '.join(names) or 'role'}, each {valid[0]}", fits


def kind(of: type) -> Valid:
    """A value of that class."""
    return f"a {of.__name__}", lambda value: isinstance(value, of)


POSITIVE = number("a positive number", lambda value: value > 0)
SHARE = number("a number between 0 and 1", lambda value: 0 <= value <= 1)
TEXT = "some text", lambda value: isinstance(value, str) and value.strip() != ""
FLAG = "True or False", lambda value: isinstance(value, bool)


def refuse_invalid(value: object, valid: Mapping[str, Valid], what: str) -> None:
    """Refuse an object one of whose attributes is not valid: "a scale's rate must be …, not …"."""
    for name, (words, fits) in valid.items():
        if not fits(getattr(value, name)):
            raise TlbookError(f"{what}'s {name} must be {words}, not {getattr(value, name)!r}.")
