"""Archives from strangers: unpacked whole or not at all, never outside their folder.

tarfile's data filter alone would let links inside the folder pass and mend absolute names; we refuse both,
and zips have no such filter: so one check stands before both kinds.
"""

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
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)
LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")  # passed over


@dataclass(frozen=True)
class Member:
    """One file of an archive: its name, its size as declared (no more of it is read), how to open it."""

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
        with _opened(archive) as opened:
            members = _checked(archive.name, _members(archive.name, opened), files, size, rename or {})
            tops = sorted({name.split("/")[0] for name in members})
            if taken := [top for top in tops if (into / top).exists()]:
                raise TlbookError(f"{into / taken[0]} exists already: move it away to unpack {archive.name}.")
            into.mkdir(parents=True, exist_ok=True)
            refuse_full_disk(into, sum(member.size for member in members.values()))
            for name, member in members.items():
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                with member.open() as source, open(work / name, "xb") as target:
                    shutil.copyfileobj(source, target)
            if isinstance(opened, tarfile.TarFile):  # a compressed one has its checksum at its end
                while opened.fileobj.read(CHUNK):
                    pass
        for top in tops:
            os.rename(work / top, into / top)
    except (*DAMAGED, OSError) as error:
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


def _opened(path: Path) -> zipfile.ZipFile | tarfile.TarFile:
    if zipfile.is_zipfile(path):
        return zipfile.ZipFile(path)
    if tarfile.is_tarfile(path):
        return tarfile.open(path)
    with open(path, "rb") as file:
        page = file.read(200).lstrip().lower().startswith((b"<!doctype", b"<html"))
    raise TlbookError(f"{path} is neither a zip nor a tar{', but a web page' if page else ''}.")


def _members(archive: str, opened: zipfile.ZipFile | tarfile.TarFile) -> Iterator[Member]:
    """The archive's files; a link, a device or an encrypted file is refused."""
    zipped = isinstance(opened, zipfile.ZipFile)
    for info in opened.infolist() if zipped else opened:
        name = info.filename if zipped else info.name
        if zipped:
            regular = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
        else:
            regular = info.isreg() or info.isdir()
        if not regular:
            raise TlbookError(f"{archive} holds the link or device {name!r}.")
        if zipped and info.flag_bits & 1:
            raise TlbookError(f"{archive} is encrypted ({name!r}).")
        if not (info.is_dir() if zipped else info.isdir()):
            reader = opened.open if zipped else opened.extractfile
            yield Member(name, info.file_size if zipped else info.size, lambda i=info, r=reader: r(i))


def _checked(
    archive: str, members: Iterator[Member], files: int, size: int, rename: Mapping[str, str]
) -> dict[str, Member]:
    """Where each member goes, relative to the folder; everything refused that could do harm."""
    places: dict[str, Member] = {}
    total = 0
    for member in members:
        path = PurePosixPath(member.name)
        outside = path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in path.parts[0]
        if outside or "\0" in member.name:
            raise TlbookError(f"{archive} holds a path that leads outside its folder, {member.name!r}.")
        if any(part in LITTER or part.startswith("._") for part in path.parts):
            continue
        first, *rest = path.parts
        name = "/".join([rename.get(first, first), *rest])
        if name in places:
            raise TlbookError(f"{archive} holds {name!r} twice.")
        places[name], total = member, total + member.size
        if len(places) > files or total > size:
            limit = f"{files} files and {size / 1e9:.1f} GB"
            raise TlbookError(f"{archive} holds more than the {limit} that it may unpack to.")
    if not places:
        raise TlbookError(f"{archive} holds no file.")
    return places
