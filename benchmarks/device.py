"""Full runs on a bare GPU machine that is lent for minutes: packed here, run there, put together here.

    python benchmarks/device.py pack DATA PACKS              here: image sets as files of at most 50 MB
    python benchmarks/device.py take PACKS                   there, once for each part of the packs that comes
    python benchmarks/device.py run OUT --train 6 --minutes 9 --scale laptop real:differences xray:differences
    python benchmarks/device.py restore OUT FOLDER           here, or there to go on: records and runs

There is no network there and tlbook is not installed: start it in the repository's root. One process trains
what each target:question needs, in that order, for ``--train`` minutes; as soon as the runs of one are whole,
another process measures and records it, so that the card is never idle. After ``--minutes`` all is ended, and
what is recorded comes back: OUT holds one tar file in volumes, records first, then what was said, then as
many whole runs as fit, those that are to go on before the others. The same command goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

WORK = Path(os.environ.get("TLBOOK_WORK", "/tmp/tlbook"))  # there: data, cache, runs, records
PACK = 50  # megabytes of a pack at most
VOLUME, VOLUMES = 15, 4  # megabytes of a volume that comes back, and how many
MEGA = 1_000_000


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


def run(out: Path, train: float, minutes: float, scale: str, commit: str, asked: Sequence[str]) -> int:
    """Train and, beside it, record; leave it all in ``out``. Returns how many of ``asked`` lack a record."""
    end, whole = time.monotonic() + 60 * minutes, WORK / "whole"
    shutil.rmtree(whole, ignore_errors=True)  # of an earlier call
    trainer = started("train", __file__, "train", "--scale", scale, "--minutes", train, *asked)
    recorders: dict[str, subprocess.Popen] = {}
    while time.monotonic() < end:
        training = trainer.poll() is None  # asked before what it has made whole is looked at
        for one in asked:
            if one not in recorders and (whole / one).exists():
                target, question = one.split(":")
                words = ("--scale", scale, "--target", target, "--only", question, "--commit", commit)
                recorders[one] = started(
                    one, "-m", "tlbook", "reproduce", *words, "--record", WORK / "records"
                )
        if not training and all(process.poll() is not None for process in recorders.values()):
            break
        time.sleep(0.5)
    for process in (trainer, *recorders.values()):
        process.kill()
        process.wait()
    recorded = [one for one, process in recorders.items() if process.returncode == 0]
    print((WORK / "said" / "train").read_text(), f"recorded: {' '.join(recorded)}", sep="", flush=True)
    bring(out)
    return len(asked) - len(recorded)


def started(name: str, *words: object) -> subprocess.Popen:
    """A Python process that writes what it says into a file of that name."""
    (WORK / "said").mkdir(parents=True, exist_ok=True)
    places = {f"TLBOOK_{one.upper()}": str(WORK / one) for one in ("data", "runs", "cache")}
    path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    with open(WORK / "said" / name, "w") as said:
        return subprocess.Popen(
            [sys.executable, "-u", *map(str, words)],
            env=os.environ | places | {"PYTHONPATH": path},
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def train(scale: str, minutes: float, asked: Sequence[str]) -> None:
    """Train what each ``target:question`` needs, in turn, and leave a mark where all of it is there."""
    from tlbook import questions, scales
    from tlbook.errors import OutOfTime
    from tlbook.training import executors, runs

    until, of = time.time() + 60 * minutes, scales.get(scale)
    (WORK / "whole").mkdir(parents=True, exist_ok=True)
    for one in asked:
        target, question = one.split(":")
        wanted = questions.get(question).study().runs(of, [target], of.seeds)
        missing, began = [spec for spec in wanted if not runs.is_done(spec)], time.time()
        with contextlib.suppress(OutOfTime):
            executors.ensure_all(missing, until=until, show=False)
        done = [spec for spec in missing if runs.is_done(spec)]
        if len(done) == len(missing):
            (WORK / "whole" / one).touch()
        seconds, passes = time.time() - began, sum(spec.passes for spec in done)
        print(
            f"{one}: {len(done)} of {len(missing)} runs, {passes:.0f} images in {seconds:.0f} s", flush=True
        )


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
        if (WORK / "said").exists():
            archive.add(WORK / "said", "said")
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
    for verb in ("run", "train"):
        of_it = verbs.add_parser(verb)
        if verb == "run":
            of_it.add_argument("out", type=Path)
            of_it.add_argument("--train", type=float, required=True)
            of_it.add_argument("--commit", default="")
        of_it.add_argument("--minutes", type=float, required=True)
        of_it.add_argument("--scale", required=True)
        of_it.add_argument("asked", nargs="+", metavar="target:question")
    given = vars(parser.parse_args())
    verb = given.pop("verb")
    result = {"pack": pack, "take": take, "run": run, "train": train, "restore": restore}[verb](**given)
    if verb == "run":
        return min(result, 1)
    print(result if verb == "take" else "\n".join(map(str, result or ())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
