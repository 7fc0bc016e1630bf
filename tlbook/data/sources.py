"""Where the data sets come from (``sources.toml``), as values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tlbook.errors import TlbookError


@dataclass(frozen=True)
class Archive:
    """One file to get, at ``url`` if that is not empty.

    ``digest`` is "sha256:…" or "md5:…", empty where none is known, as is ``size`` (bytes) None. The file is
    unpacked (or, if it is a .txt, copied) into the folder ``into`` of the data root; ``proof`` is what is
    there afterwards. ``rename`` maps a first folder inside the archive to what it is called here. ``files``
    and ``bytes`` bound what it may unpack to.
    """

    name: str
    proof: str
    url: str = ""
    into: str = ""
    size: int | None = None
    digest: str = ""
    files: int = 1
    bytes: int = 10**9
    rename: Mapping[str, str] = field(default_factory=dict)

    @property
    def packed(self) -> bool:
        """Whether it is to be unpacked."""
        return not self.name.endswith(".txt")


@dataclass(frozen=True)
class Source:
    """What makes up a data set, what a person must know or do, and how many images were published: of each
    part ("train", "dev", "test", or "" where it has none) of each data set that is read from it."""

    about: str
    archives: tuple[Archive, ...] = ()
    published: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def _source(entry: dict) -> Source:
    archives = tuple(Archive(**archive) for archive in entry.pop("archives", ()))
    return Source(archives=archives, **entry)


SOURCES = {
    name: _source(entry)
    for name, entry in tomllib.loads(Path(__file__).with_name("sources.toml").read_text()).items()
}
GROUPS = {"domainnet": ("domainnet/real", "domainnet/clipart", "domainnet/quickdraw")}


def of(name: str) -> dict[str, Source]:
    """The sources of a name: one data set, or all of a group; an unknown name is refused."""
    known = (*SOURCES, *GROUPS)
    if name not in known:
        raise TlbookError(f"There is no data set {name!r} to get; choose from {', '.join(known)}.")
    return {part: SOURCES[part] for part in GROUPS.get(name, (name,))}


def published(dataset: str) -> Mapping[str, int]:
    """How many images of each part of a data set were published; empty where that is not known."""
    counts = {name: parts for source in SOURCES.values() for name, parts in source.published.items()}
    return counts.get(dataset, {})
