"""Full runs on a bare GPU machine that is lent for minutes: packed here, run there, put together here.

    python benchmarks/device.py pack DATA PACKS              here: image sets as files of at most 50 MB
    python benchmarks/device.py take PACKS                   there, once for each part of the packs that comes
    python benchmarks/device.py run OUT --minutes 7 --limit 9 -- --scale laptop --only differences
    python benchmarks/device.py restore OUT FOLDER           here, or there to go on: records and runs

There is no network there and tlbook is not installed: start it in the repository's root. What follows ``--``
is for `tlbook reproduce`, which stops training after ``--minutes``; after ``--limit`` minutes it is ended,
and the tables that are recorded by then still come back. OUT holds one tar file in volumes: records first,
then as many whole runs as fit, those that are to go on before the others.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

WORK = Path(os.environ.get("TLBOOK_WORK", "/tmp/tlbook"))  # there: data, cache, runs, records
PACK = 50  # megabytes of a pack at most
VOLUME, VOLUMES = 15, 4  # megabytes of a volume that comes back, and how many
MEGA = 1_000_000
PATIENCE = 20  # seconds that an interrupted program may take to end


def pack(data: Path, packs: Path, megabytes: float) -> list[Path]:
    """All files of a folder in zip files, stored as they are, of at most so many megabytes (a file that is
    larger has one of its own)."""
    packs.mkdir(parents=True, exist_ok=True)
    made, room, archive = [], 0.0, None
    for file in sorted(file for file in data.rglob("*") if file.is_file()):
        name = file.relative_to(data).as_posix()
        size = file.stat().st_size + 2 * len(name.encode()) + 200  # what a zip file notes of it
        if archive is None or size > room:
            if archive:
                archive.close()
            made.append(packs / f"images-{len(made):02d}.zip")
            archive, room = zipfile.ZipFile(made[-1], "w"), megabytes * MEGA
        archive.write(file, name)
        room -= size
    if archive:
        archive.close()
    return made


def take(packs: Path) -> int:
    """Unpack what has come of the packs; how many files of image sets are there by now."""
    for file in sorted(packs.glob("images-*.zip")):
        with zipfile.ZipFile(file) as archive:
            archive.extractall(WORK / "data")
    return sum(file.is_file() for file in (WORK / "data").rglob("*"))


def run(out: Path, minutes: float, limit: float, words: Sequence[str]) -> int:
    """`tlbook reproduce`, and what it leaves in ``out``; its exit code."""
    places = {f"TLBOOK_{name.upper()}": str(WORK / name) for name in ("data", "runs", "cache")}
    call = [
        sys.executable,
        "-m",
        "tlbook",
        "reproduce",
        "--minutes",
        str(minutes),
        "--record",
        WORK / "records",
    ]
    process = subprocess.Popen([*call, *words], env={"PYTHONUNBUFFERED": "1"} | os.environ | places)
    try:
        code = process.wait(60 * limit)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        print(f"It was ended after {limit:g} minutes; what was recorded comes back.", flush=True)
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    bring(out)
    return code


def bring(out: Path) -> None:
    """Records and runs as one compressed tar file in volumes; runs that do not fit are named."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    volumes = Volumes(out)
    with (
        gzip.GzipFile(fileobj=volumes, mode="wb", compresslevel=1) as compressed,
        tarfile.open(fileobj=compressed, mode="w|") as archive,
    ):
        if (WORK / "records").exists():
            archive.add(WORK / "records", "records")
        room, left = MEGA * VOLUME * VOLUMES - size_of(WORK / "records") - MEGA, []
        for folder in in_order(WORK / "runs"):
            if (size := size_of(folder)) > room:
                left.append(folder.name)
                continue
            archive.add(folder, f"runs/{folder.name}")
            room -= size
    volumes.close()
    print(
        f"{volumes.count} volume(s) in {out}; {len(left)} runs stay behind: {' '.join(left[:5])}", flush=True
    )


def in_order(runs: Path) -> Iterator[Path]:
    """Folders of runs: those that are to go on first, then the smallest."""
    folders = [folder for folder in runs.glob("*") if folder.is_dir()]
    return iter(sorted(folders, key=lambda one: (not one.name.endswith(".partial"), size_of(one), one.name)))


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size + 1024 for file in folder.rglob("*") if file.is_file())


class Volumes(io.RawIOBase):
    """A file to write to, in parts ``results.tar.gz.00``, ``.01``, … of at most `VOLUME` megabytes."""

    def __init__(self, folder: Path):
        self.folder, self.count, self.file, self.room = folder, 0, None, 0

    def writable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:
        rest = memoryview(content)
        while rest:
            if not self.room:
                self.close()
                self.file = open(self.folder / f"results.tar.gz.{self.count:02d}", "wb")
                self.count, self.room = self.count + 1, VOLUME * MEGA
            written = self.file.write(rest[: self.room])
            self.room, rest = self.room - written, rest[written:]
        return len(content)

    def close(self) -> None:
        if self.file:
            self.file.close()


def restore(out: Path, folder: Path) -> None:
    """Put what came back under a folder, as ``records`` and ``runs``."""
    volumes = sorted(out.glob("results.tar.gz.*"))
    content = io.BytesIO(b"".join(volume.read_bytes() for volume in volumes))
    with tarfile.open(fileobj=content, mode="r:gz") as archive:
        archive.extractall(folder, filter="data")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, folders in {
        "pack": ("data", "packs"),
        "take": ("packs",),
        "restore": ("out", "folder"),
    }.items():
        of_it = verbs.add_parser(verb)
        for name in folders:
            of_it.add_argument(name, type=Path)
        if verb == "pack":
            of_it.add_argument("--megabytes", type=float, default=PACK)
    of_it = verbs.add_parser("run")
    of_it.add_argument("out", type=Path)
    of_it.add_argument("--minutes", type=float, required=True)
    of_it.add_argument("--limit", type=float, required=True)
    own = sys.argv[1:]
    end = own.index("--") if "--" in own else len(own)
    words, given = own[end + 1 :], vars(parser.parse_args(own[:end]))
    verb = given.pop("verb")
    if verb == "run":
        return run(**given, words=words)
    result = {"pack": pack, "take": take, "restore": restore}[verb](**given)
    print(result if verb == "take" else "\n".join(map(str, result or ())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
