"""The algorithms of differences: models, data or tables in, tidy tables out."""

from __future__ import annotations

from tlbook.vocabulary import PAIR

Key = tuple[str, str, int]  # a model: init, rate, seed
Pair = tuple[Key, Key]


def named(pair: Pair) -> dict[str, str | int]:
    """The columns that name a pair of models in a table: init, rate, seed, init_b, rate_b, seed_b."""
    first, second = pair
    return dict(zip(PAIR[1:], (*first, *second), strict=True))
