"""`tlbook data get` and `tlbook data check`: bring a data set to where it is read, and say what is there."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tlbook.data import decode, download, layouts, sources, unpack
from tlbook.data.folders import Listing
from tlbook.data.sources import Archive, Source
from tlbook.errors import TlbookError

DOWNLOADS = ".downloads"  # under the data root: what has come, and archives that users put there


def get(
    name: str, root: Path, mirrors: Sequence[str] = (), archives: Sequence[Path] = (), keep: bool = False
) -> list[str]:
    """Get a data set (or a group, "domainnet") into ``root``; a line for each archive on what was done.

    An archive is found by its name in ``archives`` (files, or folders that hold them), or in
    ``root/.downloads``, else downloaded from one of ``mirrors`` (addresses of folders) or its own address.
    Size and digest are checked wherever it comes from. It is unpacked, then removed if it was downloaded,
    unless ``keep``. A single file stands for the one archive that is to be unpacked, whatever its name.
    Refused in one sentence: what failed, and what to put where instead.
    """
    wanted = sources.of(name)
    given = _named(wanted, archives)
    (root / DOWNLOADS).mkdir(parents=True, exist_ok=True)
    said = []
    with FileLock(root / DOWNLOADS / "lock"):
        for dataset, source in wanted.items():
            if not source.archives:
                raise _by_hand(dataset, source, f"put it in {root / dataset}")
            for archive in source.archives:
                if (root / archive.proof).exists():
                    said.append(f"{root / archive.proof} is there already")
                    continue
                path, ours = _obtained(dataset, archive, root, mirrors, given)
                said.append(_placed(archive, path, root))
                if ours and not keep:
                    path.unlink()
    return said


def _named(wanted: Mapping[str, Source], archives: Sequence[Path]) -> dict[str, Path]:
    """Archives that a user has, by the names that they are known by; another file is refused."""
    names = {archive.name: archive for source in wanted.values() for archive in source.archives}
    packed = [name for name, archive in names.items() if archive.packed]
    found = {}
    for path in archives:
        if not path.exists():
            raise TlbookError(f"There is no archive {path}.")
        if path.is_dir():
            found |= {name: path / name for name in names if (path / name).is_file()}
        elif path.name in names or len(packed) == len(archives) == 1:
            found[path.name if path.name in names else packed[0]] = path
        else:
            raise TlbookError(f"{path.name} is none of the archives wanted: {', '.join(names) or 'none'}.")
    return found


def _obtained(
    dataset: str, archive: Archive, root: Path, mirrors: Sequence[str], given: Mapping[str, Path]
) -> tuple[Path, bool]:
    """The archive's file, checked, and whether it is a download of ours."""
    local = root / DOWNLOADS / archive.name
    path = given.get(archive.name, local)
    if path.is_file():
        download.verify(path, archive.size, archive.digest)
        return path, False
    unpacked = f", or unpack it so that {root / archive.proof} is there" if archive.packed else ""
    instead = f"put {archive.name} into {root / DOWNLOADS}, or name it with --archive{unpacked}"
    failure = None
    for address in [*(f"{mirror.rstrip('/')}/{archive.name}" for mirror in mirrors), archive.url]:
        try:
            if address:
                return download.fetch(address, local, archive.size, archive.digest), True
        except download.Failed as error:
            failure = error
    if failure is None:
        raise _by_hand(dataset, sources.SOURCES[dataset], instead)
    raise TlbookError(f"{str(failure).rstrip('.')}; {instead}.") from failure


def _placed(archive: Archive, path: Path, root: Path) -> str:
    """Unpack an archive, or copy a list, to its place; what was done."""
    into = root / archive.into
    if not archive.packed:
        into.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, into / archive.name)
        return f"{into / archive.name} was written"
    tops = unpack.unpack(path, into, archive.files, archive.bytes, archive.rename)
    if not (root / archive.proof).exists():
        names = ", ".join(top.name for top in tops)
        raise TlbookError(f"{path.name} was unpacked in {into} and holds {names}, but not {archive.proof}.")
    sha256 = "" if archive.digest else download.digest_of(path, "sha256")
    note = f" (no digest of it is known; its SHA-256 is {sha256})" if sha256 else ""
    return f"{root / archive.proof} was unpacked from {path.name}{note}"


def _by_hand(dataset: str, source: Source, instead: str) -> TlbookError:
    """Where a set that must be asked for comes from, and what to do with it."""
    return TlbookError(f"{dataset} is not to be had without you: {source.about}; {instead}.")


# What is there

ABSENT, COMPLETE, INCOMPLETE, BROKEN = "absent", "complete", "incomplete", "broken"


@dataclass(frozen=True)
class State:
    """What `check` found of a data set: one of absent, complete, incomplete, broken, and why."""

    dataset: str
    state: str
    said: str


def check(dataset: str, decoding: bool = False) -> State:
    """Whether a data set is where it is read, with every file and as many images as were published.

    With ``decoding`` every image is decoded as well, which takes minutes; else files are only looked at.
    """
    try:
        found = layouts.listing(dataset)
    except layouts.MissingData as error:
        return State(dataset, BROKEN if "official layout" in str(error) else ABSENT, str(error))
    except TlbookError as error:
        return State(dataset, BROKEN, str(error))
    bad = _first_bad(found, decoding)
    if bad:
        return State(dataset, BROKEN, bad)
    counts = Counter(found.split) or {"": len(found.paths)}
    where = f"{_in_words(counts)}, {len(found.classes)} classes, in {found.folder}"
    expected = sources.published(dataset) or counts
    if counts != expected:
        return State(dataset, INCOMPLETE, f"{where}; published are {_in_words(expected)}.")
    return State(dataset, COMPLETE, f"{where}.")


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {part or 'images'}" for part, count in counts.items())


def _first_bad(found: Listing, decoding: bool) -> str:
    """How many files are missing, empty or (if decoded) broken, and the first of them; '' if none."""

    def bad(path: str) -> str:
        file = found.folder / path
        try:
            if os.stat(file).st_size == 0:
                return f"{file} is empty"
            if decoding:
                decode.open_image(file)
        except OSError:
            return f"{file} is missing"
        except TlbookError as error:
            return str(error).rstrip(".")
        return ""

    with ThreadPoolExecutor() as pool:
        problems = [problem for problem in pool.map(bad, found.paths, chunksize=256) if problem]
    return f"{len(problems)} of {len(found.paths)} files: {problems[0]}." if problems else ""
