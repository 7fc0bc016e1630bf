"""Archives from strangers: unpacked whole or not at all, never outside their folder."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tlbook.errors import TlbookError

CHUNK = 1 << 20
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)
LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")  # passed over


@dataclass(frozen=True)
class _Member:
    """One file of an archive: its name, its size as declared, and how to read it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path, into: Path, files: int, size: int, rename: Mapping[str, str] | None = None
) -> list[Path]:
    """Unpack a zip or tar into a folder; what then stands there at the top (those must not exist before).

    Refused before anything is written: names that lead outside, links and devices, a name twice, encrypted
    members, more than ``files`` files or ``size`` bytes; and while writing, a member that is larger than it
    says, or damaged. ``rename`` maps a first folder in the archive to another name.
    """
    work = into / f".unpack-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        with _Opened(archive) as opened:
            checked = _checked(archive, opened.members(), files, size, rename or {})
            tops = sorted({name.split("/")[0] for name in checked})
            if taken := [top for top in tops if (into / top).exists()]:
                raise TlbookError(f"{into / taken[0]} exists already: move it away to unpack {archive.name}.")
            into.mkdir(parents=True, exist_ok=True)
            refuse_full_disk(into, sum(member.size for member in checked.values()))
            for name, member in checked.items():
                _write(archive, member, work / name)
            opened.finish()
        for top in tops:
            os.rename(work / top, into / top)
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            raise  # the disk, not the archive
        raise TlbookError(f"The archive {archive} is damaged ({' '.join(str(error).split())}).") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return [into / top for top in tops]


def refuse_full_disk(folder: Path, needed: int) -> None:
    """Refuse what does not fit on the disk of a folder, in bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TlbookError(f"{folder} has room for {free / 1e9:.1f} GB, and {needed / 1e9:.1f} GB are needed.")


class _Opened:
    """A zip or tar, open as long as its members are read."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> _Opened:
        if zipfile.is_zipfile(self.path):
            self.file = zipfile.ZipFile(self.path)
            return self
        if tarfile.is_tarfile(self.path):
            self.file = tarfile.open(self.path)
            return self
        with open(self.path, "rb") as file:
            begins = file.read(200).lstrip().lower()
        page = ", but a web page" if begins.startswith((b"<!doctype", b"<html")) else ""
        raise TlbookError(f"{self.path} is neither a zip nor a tar{page}.")

    def __exit__(self, *error) -> None:
        self.file.close()

    def members(self) -> Iterator[_Member]:
        """Its files; a link, a device or an encrypted file is refused."""
        return self._zip() if isinstance(self.file, zipfile.ZipFile) else self._tar()

    def finish(self) -> None:
        """Read a tar to its end, where a compressed one has its checksum (a zip has one for each member)."""
        if isinstance(self.file, tarfile.TarFile):
            while self.file.fileobj.read(CHUNK):
                pass

    def _zip(self) -> Iterator[_Member]:
        for info in self.file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise TlbookError(f"{self.path.name} holds the link or device {info.filename!r}.")
            if info.flag_bits & 1:
                raise TlbookError(f"{self.path.name} is encrypted ({info.filename!r}).")
            if not info.is_dir():
                yield _Member(info.filename, info.file_size, lambda info=info: self.file.open(info))

    def _tar(self) -> Iterator[_Member]:
        for info in self.file:
            if info.isdir():
                continue
            if not info.isreg():
                raise TlbookError(f"{self.path.name} holds the link or device {info.name!r}.")
            yield _Member(info.name, info.size, lambda info=info: self.file.extractfile(info))


def _checked(
    archive: Path, members: Iterator[_Member], files: int, size: int, rename: Mapping[str, str]
) -> dict[str, _Member]:
    """Where each member goes, relative to the folder; everything refused that could do harm."""
    found: dict[str, _Member] = {}
    total = 0
    for member in members:
        path = PurePosixPath(member.name)
        outside = path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in path.parts[0]
        if outside or "\0" in member.name:
            raise TlbookError(f"{archive.name} holds a path that leads outside its folder, {member.name!r}.")
        if any(part in LITTER or part.startswith("._") for part in path.parts):
            continue
        first, *rest = path.parts
        name = "/".join([rename.get(first, first), *rest])
        if name in found:
            raise TlbookError(f"{archive.name} holds {name!r} twice.")
        found[name], total = member, total + member.size
        if len(found) > files or total > size:
            limit = f"{files} files and {size / 1e9:.1f} GB"
            raise TlbookError(f"{archive.name} holds more than the {limit} that it may unpack to.")
    if not found:
        raise TlbookError(f"{archive.name} holds no file.")
    return found


def _write(archive: Path, member: _Member, path: Path) -> None:
    """Copy a member to its place, and no more of it than it says it has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    with member.open() as source, open(path, "xb") as target:
        while chunk := source.read(min(CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise TlbookError(f"{archive.name} holds more in {member.name!r} than it says.")
            target.write(chunk)
    if left:
        raise TlbookError(f"{archive.name} holds less in {member.name!r} than it says.")
