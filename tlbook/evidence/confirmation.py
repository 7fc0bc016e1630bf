"""What was fixed before the runs that confirm: the commits of the rules and of the frozen measuring code."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources


@functools.cache
def fixed() -> dict:
    """rules and frozen, each a commit; measuring, the digest of what measures each question at ``frozen``."""
    return tomllib.loads(resources.files(__package__).joinpath("confirmation.toml").read_text("utf-8"))


def commits(question: str, measuring_digest: str) -> dict[str, str]:
    """The commits that records of a question name; none where other code measured it."""
    if fixed()["measuring"].get(question) != measuring_digest:
        return {}
    return {"rules_commit": fixed()["rules"], "frozen_commit": fixed()["frozen"]}
