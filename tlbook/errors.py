"""The one exception that users are meant to read, and the one door: how errors leave programs and pages."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

LONGEST = 200  # characters of a name that a sentence shows
PATIENCE = 1.0  # seconds that an interrupted program may take to end what it is at
INTERRUPTED = "Interrupted: what is finished is kept, and the next start goes on from there."
CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EROFS: "it can only be read, not written",
    errno.EACCES: "there is no permission to read or write it",
    errno.EPERM: "there is no permission to read or write it",
    errno.ELOOP: "it is a link that leads to itself",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "it is there already",
    errno.EISDIR: "it is a folder, not a file",
    errno.EMFILE: "too many files are open",
    errno.EIO: "the disk could not read or write it",
}


class TlbookError(ValueError):
    """Bad input, said in one sentence: what was wrong, and what is valid."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook prints instead of a traceback."""
        return [f"TlbookError: {self}"]


class OutOfTime(TlbookError):
    """The time that training was given is over; runs go on from there when they are asked for again."""


SAID = (TlbookError, OSError, MemoryError)  # what `sentence` can say


def sentence(error: BaseException) -> str:
    """What went wrong, in one sentence without a line break: of an OSError its place and its cause.

    >>> sentence(OSError(errno.ENOSPC, "No space left on device", "/runs/a"))
    '/runs/a: the disk is full.'
    """
    if isinstance(error, TlbookError):
        return str(error)
    if isinstance(error, MemoryError):
        return "The memory ran out (MemoryError): fewer or smaller images or fewer workers need less."
    places = [_name(getattr(error, which, None)) for which in ("filename", "filename2")]
    place = " and ".join(filter(None, places)) or "a file or connection"
    cause = CAUSES.get(getattr(error, "errno", None)) or getattr(error, "strerror", None)
    cause = cause or next(iter(error.args), "")
    if "requested and" in str(cause):  # NumPy's words, without a number
        cause = f"only a part could be written, so the disk may be full ({cause})"
    text = " ".join(str(cause).split()).rstrip(".").replace(". ", "; ")
    return f"{place}: {text or type(error).__name__}."


def _name(place: object) -> str:
    """A file's name as it can be printed on one line; '' for none."""
    if not isinstance(place, str | bytes | os.PathLike):
        return ""
    text = os.fsdecode(place).encode(errors="backslashreplace").decode()
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"


@contextlib.contextmanager
def at(place: str | os.PathLike) -> Iterator[None]:
    """Name the place in an OSError that does not: a write to a full disk does not say where it was."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(place)
        raise


@contextlib.contextmanager
def door(prefix: str = "", code: int = 2) -> Iterator[None]:
    """Run a program in it: it ends with one sentence on stderr and exit code ``code`` for what a user can
    put right (`SAID`), with another and 130 within two seconds for Ctrl-C."""
    try:
        with _interruptible(prefix):
            yield
    except KeyboardInterrupt:
        sys.exit(130)
    except SAID as error:
        print(f"{prefix}{sentence(error)}", file=sys.stderr)
        sys.exit(code)


@contextlib.contextmanager
def _interruptible(prefix: str) -> Iterator[None]:
    """Let the first Ctrl-C say so and raise, and end the process itself if that takes too long.

    A thread hears it too, since the main one only does between two calls of compiled code, such as torch's.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or a door already
        yield
        return
    said = [f"\n{prefix}{INTERRUPTED}\n".encode()]
    heard, told = os.pipe()
    os.set_blocking(told, False)

    def say() -> None:
        with contextlib.suppress(IndexError):  # said already
            os.write(2, said.pop())

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say()
        raise KeyboardInterrupt

    def listen() -> None:
        while number := os.read(heard, 1):
            if number[0] == signal.SIGINT:
                say()
                time.sleep(PATIENCE)
                os._exit(130)

    signal.signal(signal.SIGINT, interrupt)
    before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield
    finally:
        if not said:  # interrupted: taking an interpreter with torch apart may take seconds
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(130)
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(told)
