"""Files from the web: resumed where they were cut off, believed only by size and digest.

Ours, since pooch (1.9) downloads into a temporary file that it removes after every cut, and so starts anew
each time: 6 gigabytes from a slow server do not allow that.
"""

from __future__ import annotations

import hashlib
import http.client
import re
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
BUSY = (429, 500, 502, 503, 504)


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
        _in_attempts(url, partial, size, progress)
    try:
        verify(partial, size, digest)
    except TlbookError as error:
        partial.unlink()
        raise Failed(f"What {url} sent is not the right file and was removed: {error}") from error
    partial.replace(path)
    partial.with_suffix(".tag").unlink(missing_ok=True)
    return path


def _in_attempts(url: str, partial: Path, size: int | None, progress: tqdm) -> None:
    """Ask until all is there."""
    fruitless, pause = 0, PAUSE
    for _ in range(ATTEMPTS):
        before = _length(partial)
        try:
            return _attempt(url, partial, size, progress)
        except _Cut as cut:
            reason = str(cut)
        fruitless, pause = (0, PAUSE) if _length(partial) > before else (fruitless + 1, 2 * pause)
        if fruitless == FRUITLESS:
            break
        time.sleep(pause)
    raise Failed(f"{url} could not be downloaded ({reason}); what has come so far is kept.")


def _attempt(url: str, partial: Path, size: int | None, progress: tqdm) -> None:
    """One request for what is missing."""
    if size is not None and _length(partial) > size:
        partial.unlink()  # of another file
    have = _length(partial)
    if have == size:
        return
    with _open(url, partial, have) as response:
        if response.status == 206:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
            if not span or int(span[1]) != have:
                partial.unlink()
                raise _Cut("the server sent another part than was asked for")
            total = int(span[2])
        else:
            have, length = 0, response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else size
        if size is not None and total != size:
            partial.unlink(missing_ok=True)
            raise Failed(f"{url} is said to have {total} bytes, and the right file has {size}.")
        partial.with_suffix(".tag").write_text(response.headers.get("ETag", ""))
        progress.total = total
        progress.update(have - progress.n)
        with open(partial, "ab" if have else "wb") as file:
            _receive(response, file, total, progress, url)


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
        kind = _Cut if error.code in (416, *BUSY) else Failed
        said = f"the server answered {error.code}"
        raise kind(said if kind is _Cut else f"{url} could not be downloaded ({said}).") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise _Cut(" ".join(str(reason or type(error).__name__).split()).rstrip(".")) from error


def _receive(response, file, total: int | None, progress: tqdm, url: str) -> None:
    """Write what comes, and no more than ``total`` bytes in all."""
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


def verify(path: Path, size: int | None = None, digest: str = "") -> None:
    """Refuse a file whose size or digest ("sha256:…", "md5:…") is not as known; what is unknown is passed."""
    if size is not None and _length(path) != size:
        raise TlbookError(f"{path.name} has {_length(path)} bytes, and the right file has {size}.")
    kind, _, wanted = digest.partition(":")
    if digest and (got := digest_of(path, kind)) != wanted:
        kind = kind.upper()
        raise TlbookError(f"{path.name} has the {kind} {got[:16]}…, and the right file {wanted[:16]}….")


def digest_of(path: Path, kind: str) -> str:
    """A file's digest of a kind that hashlib knows, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
