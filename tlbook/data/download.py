"""Files from the web: resumed where they were cut off, believed only by size and digest.

pooch was looked at and not taken: it starts anew after every cut (version 1.9), which 6 gigabytes from a slow
server do not allow.
"""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from tlbook.data.unpack import refuse_full_disk
from tlbook.errors import TlbookError

TIMEOUT = 30.0  # seconds without a byte after which a server is given up, and asked again
PAUSE = 2.0  # seconds before the first repetition; doubled each time, until something arrives again
FRUITLESS = 4  # attempts in a row that brought nothing
ATTEMPTS = 50  # in all
CHUNK = 1 << 20


class Failed(TlbookError):
    """A download that did not succeed: another mirror may."""


class _Cut(Exception):
    """The connection ended early, or the server was silent for too long: worth another attempt."""


def fetch(url: str, path: Path, size: int | None = None, digest: str = "") -> Path:
    """Download ``url`` to ``path``, resuming ``<path>.part`` if it is there; the finished file is checked.

    ``size`` in bytes and ``digest`` ("sha256:…" or "md5:…") are what is known of the file. Raises Failed in
    one sentence where the server cannot be reached, gives up, or has another file; what was wrong is removed.
    """
    if not url.startswith(("http://", "https://")):
        raise Failed(f"The address {url} does not begin with http:// or https://.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    if size is not None:
        refuse_full_disk(path.parent, size - _length(partial))
    with tqdm(desc=path.name, total=size, unit="B", unit_scale=True, mininterval=1, delay=1) as progress:
        total = _in_attempts(url, partial, size, progress)
    _refuse_other(partial, url, total, digest)
    partial.replace(path)
    partial.with_suffix(".tag").unlink(missing_ok=True)
    return path


def _in_attempts(url: str, partial: Path, size: int | None, progress: tqdm) -> int | None:
    """Ask until all is there; the size that the file should have."""
    fruitless, pause = 0, PAUSE
    for _ in range(ATTEMPTS):
        before = _length(partial)
        try:
            return _attempt(url, partial, size, progress)
        except _Cut as cut:
            reason = str(cut)
        fruitless = 0 if _length(partial) > before else fruitless + 1
        if fruitless >= FRUITLESS:
            break
        pause = PAUSE if fruitless == 0 else pause * 2
        time.sleep(pause)
    raise Failed(f"{url} could not be downloaded ({reason}); what has come so far is kept.")


def _attempt(url: str, partial: Path, size: int | None, progress: tqdm) -> int | None:
    """One request for what is missing; returns the whole size as the server has it."""
    have = _length(partial)
    if size is not None and have >= size:
        if have == size:
            return size
        partial.unlink()  # of another file
        have = 0
    with _open(url, partial, have) as response:
        if response.status == 206:
            total = _of_range(response, have)
            if total is None:  # it begins elsewhere than asked for
                partial.unlink()
                raise _Cut("the server sent another part than was asked for")
        else:
            have = 0
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
        if size is not None and total is not None and total != size:
            partial.unlink(missing_ok=True)
            raise Failed(f"{url} is said to have {total} bytes, and the right file has {size}.")
        partial.with_suffix(".tag").write_text(response.headers.get("ETag", ""))
        _receive(response, partial, have, total if size is None else size, progress, url)
    return total if size is None else size


def _open(url: str, partial: Path, have: int):
    """The server's answer to a request for everything from byte ``have`` on."""
    request = urllib.request.Request(url, headers={"User-Agent": "tlbook", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        tag = partial.with_suffix(".tag")
        if tag.exists() and tag.read_text().startswith('"'):
            request.add_header("If-Range", tag.read_text())  # a file that has changed comes whole
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # more is here than there: of another file
            partial.unlink(missing_ok=True)
            raise _Cut("the server has less than is here") from error
        if error.code in (429, 500, 502, 503, 504):
            raise _Cut(f"the server answered {error.code}") from error
        raise Failed(f"{url} could not be downloaded (the server answered {error.code}).") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise _Cut(" ".join(str(reason or type(error).__name__).split()).rstrip(".")) from error


def _of_range(response, have: int) -> int | None:
    """The whole size in an answer's ``Content-Range``; None where the range is not the one asked for."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    begins = span.partition("-")[0]
    right = unit == "bytes" and begins.isdecimal() and int(begins) == have
    return int(total) if right and total.isdecimal() else None


def _receive(response, partial: Path, have: int, total: int | None, progress: tqdm, url: str) -> None:
    """Append what comes to the part, and no more than ``total`` bytes in all."""
    progress.total = total
    progress.update(have - progress.n)
    with open(partial, "ab" if have else "wb") as file:
        while True:
            try:
                chunk = response.read1(CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _Cut(f"it was cut off after {file.tell()} bytes") from error
            if not chunk:
                break
            if total is not None and file.tell() + len(chunk) > total:
                file.truncate(0)
                raise Failed(f"{url} sends more than the {total} bytes that it should have.")
            file.write(chunk)
            progress.update(len(chunk))
        if total is not None and file.tell() < total:
            raise _Cut(f"it was cut off after {file.tell()} of {total} bytes")


def _refuse_other(path: Path, url: str, size: int | None, digest: str) -> None:
    """Refuse and remove a finished file that is not the one known."""
    try:
        verify(path, size, digest)
    except TlbookError as error:
        path.unlink(missing_ok=True)
        raise Failed(f"What {url} sent is not the right file and was removed: {str(error)}") from error


def verify(path: Path, size: int | None = None, digest: str = "") -> None:
    """Refuse a file whose size or digest ("sha256:…", "md5:…") is not as known; what is unknown is passed."""
    found = _length(path)
    if size is not None and found != size:
        raise TlbookError(f"{path.name} has {found} bytes, and the right file has {size}.")
    if digest:
        kind, _, wanted = digest.partition(":")
        got = digest_of(path, kind)
        if got != wanted:
            kind = kind.upper()
            raise TlbookError(f"{path.name} has the {kind} {got[:16]}…, and the right file {wanted[:16]}….")


def digest_of(path: Path, kind: str) -> str:
    """A file's digest of a kind that hashlib knows, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
