"""Modules and stages of a network by name, from input to output (no torch)."""

from __future__ import annotations

from collections.abc import Iterable


def depth(name: str) -> tuple[int, int, str]:
    """Sort key: conv1, layer1, layer1.0, …, then fc, then any other name."""
    if name == "conv1":
        return 0, 0, name
    stage, _, block = name.removeprefix("layer").partition(".")
    if name.startswith("layer") and stage.isdigit() and (block.isdigit() or not block):
        return int(stage), int(block or -1), name
    return 10**9, name != "fc", name


def by_depth(names: Iterable[str]) -> list[str]:
    """The distinct names, from input to output."""
    return sorted(set(names), key=depth)


def modules(names: Iterable[str]) -> list[str]:
    """The modules among some names, by depth: conv1, blocks, fc; neither "none" nor whole stages."""
    return by_depth(name for name in names if name in ("conv1", "fc") or "." in name)


def stages(names: Iterable[str]) -> list[str]:
    """The whole stages among some names, by depth."""
    return by_depth(name for name in names if name.startswith("layer") and "." not in name)
