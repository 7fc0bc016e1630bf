"""Archives from strangers: unpacked whole or not at all, never outside their folder.

tarfile's data filter alone would let links inside the folder pass and mend absolute names; we refuse both,
and zips have no such filter: so one check stands before both kinds.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tlbook.data.folders import refuse_name
from tlbook.errors import TlbookError

CHUNK = 1 << 20
DAMAGED = (  # what the readers of broken archives stumble over
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError,
    LookupError, ArithmeticError, RuntimeError,
)  # fmt: skip
DEPTH, LONG, LONGEST = 32, 255, 1000  # folders of a path, bytes of a name in it, bytes of the whole
HEADER = 1 << 13  # bytes of a tar's header before a file, such as its long name
HEADER_SECONDS = (2.0, 0.001)  # of a CPU that all such headers together may take, and more for each
ENTRIES = 5  # for each file that it may hold: folders, and what is passed over
PADDING = 1 << 24  # bytes after the last file of a tar
LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")  # passed over


@dataclass(frozen=True)
class Member:
    """One file of an archive: its name, its size as declared (no more of it is read), how to open it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]
    folder: bool = False


class _Header(tarfile.TarInfo):
    """A header of a tar; one that is long, or counts backwards, is damage before it is read on.

    As are headers that hold the CPU: tarfile's search in them may take the square of their length.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        kinds = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        long = (*kinds, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        if self.size < 0 or (self.type in long and self.size > HEADER) or self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.HeaderError("a header that is too long, sparse or of a negative size")
        if self.type not in kinds:
            return super()._proc_member(archive)
        started = time.thread_time()
        found = super()._proc_member(archive)
        archive.slow = getattr(archive, "slow", HEADER_SECONDS[0]) + HEADER_SECONDS[1]
        archive.slow -= time.thread_time() - started
        if archive.slow < 0:
            raise tarfile.HeaderError("headers that take too long to read")
        return found


def unpack(
    archive: Path, into: Path, files: int, size: int, rename: Mapping[str, str] | None = None
) -> list[Path]:
    """Unpack a zip or tar into a folder; what then stands there at the top (those must not exist before).

    Refused before anything is written: names that lead outside, are empty, long, not UTF-8, deep, or folder
    and file at once; links and devices, a name twice, encrypted members, more than ``files`` files or
    ``size`` bytes; and while writing, a member that is larger than it says, or damaged. ``rename`` maps a
    first folder in the archive to another name.
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
                _read_out(opened)
        for top in tops:
            os.rename(work / top, into / top)
    except TlbookError:
        raise
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            raise  # the disk, not the archive
        raise TlbookError(f"The archive {archive} is damaged ({' '.join(str(error).split())}).") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return [into / top for top in tops]


def _read_out(opened: tarfile.TarFile) -> None:
    for _ in range(PADDING // CHUNK + 1):
        if not opened.fileobj.read(CHUNK):
            return
    raise tarfile.TarError(f"it goes on for more than {PADDING:,} bytes after its last file")


def refuse_full_disk(folder: Path, needed: int) -> None:
    """Refuse what does not fit on the disk of a folder, in bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TlbookError(f"{folder} has room for {free / 1e9:.1f} GB, and {needed / 1e9:.1f} GB are needed.")


def _opened(path: Path) -> zipfile.ZipFile | tarfile.TarFile:
    if zipfile.is_zipfile(path):
        return zipfile.ZipFile(path)
    with contextlib.suppress(tarfile.ReadError, tarfile.CompressionError):
        return tarfile.open(path, tarinfo=_Header)
    with open(path, "rb") as file:
        page = file.read(200).lstrip().lower().startswith((b"<!doctype", b"<html"))
    raise TlbookError(f"{path} is neither a zip nor a tar{', but a web page' if page else ''}.")


def _members(archive: str, opened: zipfile.ZipFile | tarfile.TarFile) -> Iterator[Member]:
    """The archive's files and folders; a link, a device or an encrypted file is refused."""
    zipped = isinstance(opened, zipfile.ZipFile)
    for info in opened.infolist() if zipped else opened:
        name = info.filename if zipped else info.name
        if zipped:
            regular = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
        else:
            regular = (info.isreg() and info.size >= 0) or info.isdir()
            if info.issparse():
                raise TlbookError(f"{archive} holds the sparse file {name!a}.")
        if not regular:
            raise TlbookError(f"{archive} holds the link or device {name!a}.")
        if zipped and info.flag_bits & 1:
            raise TlbookError(f"{archive} is encrypted ({name!a}).")
        folder = name.endswith("/") if zipped else info.isdir()
        reader = opened.open if zipped else opened.extractfile
        size = 0 if folder else info.file_size if zipped else info.size
        yield Member(name, size, lambda i=info, r=reader: r(i), folder)


def _checked(
    archive: str, members: Iterator[Member], files: int, size: int, rename: Mapping[str, str]
) -> dict[str, Member]:
    """Where each member goes, relative to the folder; everything refused that could do harm."""
    places: dict[str, Member] = {}
    total, limit = 0, f"{files} files and {size / 1e9:.1f} GB"
    for count, member in enumerate(members, start=1):
        path = _safe(archive, member.name)
        total += member.size
        litter = any(part in LITTER or part.startswith("._") for part in path.parts)
        if not path.parts and not member.folder:
            raise TlbookError(f"{archive} holds a file without a name.")
        if not litter and not member.folder:
            first, *rest = path.parts
            name = "/".join([rename.get(first, first), *rest])
            if name in places:
                raise TlbookError(f"{archive} holds {name!r} twice.")
            places[name] = member
        if len(places) > files or total > size or count > ENTRIES * files + ENTRIES:
            raise TlbookError(f"{archive} holds more than the {limit} that it may unpack to.")
    if not places:
        raise TlbookError(f"{archive} holds no file.")
    parents = {str(folder) for name in places for folder in PurePosixPath(name).parents}
    if both := sorted(parents & places.keys()):
        raise TlbookError(f"{archive} holds {both[0]!r} as a file and as a folder.")
    return places


def _safe(archive: str, name: str) -> PurePosixPath:
    """The path that a name is; refused where it could do harm."""
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in "".join(path.parts[:1])
    if outside or "\0" in name:
        raise TlbookError(f"{archive} holds a path that leads outside its folder, {name[:LONG]!a}.")
    refuse_name(name, archive)
    sizes = [len(part.encode()) for part in path.parts]
    if len(sizes) > DEPTH or max(sizes, default=0) > LONG or sum(sizes) > LONGEST:
        raise TlbookError(f"{archive} holds a path that is too long or too deep, {name[:LONG]!r}.")
    return path
