"""Images that are decoded from their files whenever they are wanted, by worker processes of a DataLoader.

For sets that do not fit in memory, and for the paper's own, whose random crops and turns read whole files;
others are read into memory whole. What comes out does not depend on the number of workers: each image's draws
have a seed of their own. Test views, which are always the same, are decoded once and kept in a file, named by
the images' content, where that would fit in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from joblib import cpu_count
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from tlbook.data import decode
from tlbook.data.views import CHAINS
from tlbook.errors import TlbookError

MEMORY_SHARE = 1 / 4  # of this machine's memory that one data set may fill
MAX_WORKERS = 16
VERSION = "views 2"  # raise the number when a chain of `tlbook.data.views` changes
FEW = 512  # images that are decoded at once without worker processes
PIECE = 64  # images that a worker hands over at once
CHUNK = 4096  # images that are read from the cache at once
SLOW = 10.0  # seconds from which on a pass says how fast it was; the first of a data set always does

_reported: set[Path] = set()


def fits(size: int) -> bool:
    """Whether so many bytes may stay in memory: up to ``TLBOOK_MEMORY`` gigabytes, or a quarter of it."""
    named = os.environ.get("TLBOOK_MEMORY", "").strip()
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        limit = float(named) * 1e9 if named else MEMORY_SHARE * memory
    except ValueError:
        raise TlbookError(f"TLBOOK_MEMORY is a number of gigabytes, not {named!r}.") from None
    return size <= limit


def workers(count: int) -> int:
    """Processes that decode ``count`` images: ``TLBOOK_DECODERS``, or one a core, which the processes of
    torchrun share; few images need none."""
    named = os.environ.get("TLBOOK_DECODERS", "").strip()
    if named:
        if not named.isdecimal():
            raise TlbookError(f"TLBOOK_DECODERS is a number of processes, not {named!r}.")
        return int(named)
    cores = cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return min(max(cores, 1), MAX_WORKERS) if count > FEW else 0


class _Files(Dataset):
    """Item (i, seed): image i, as in training if there is a seed, else as in testing; or why it is not."""

    def __init__(self, folder: Path, paths: Sequence[str], chain: str, side: int, resized: int):
        self.folder, self.chain, self.side, self.resized = folder, chain, side, resized
        self.paths = np.array([os.fsencode(path) for path in paths])  # no million objects for forks to copy

    def __getitem__(self, item: tuple[int, int | None]) -> Tensor | str:
        index, seed = item
        path = self.folder / os.fsdecode(self.paths[index].item())
        chain = CHAINS[self.chain]
        try:
            if seed is None:
                image = chain.test(path, self.side, self.resized)
            else:
                image = chain.train(path, self.side, np.random.default_rng(seed))
        except TlbookError as error:  # as a value: DataLoader would wrap it in a traceback
            return str(error)
        return torch.from_numpy(np.ascontiguousarray(image))


class Stream:
    """Image files in order, as a sequence that stands where a tensor of images (n, 3, side, side) would."""

    def __init__(
        self, folder: Path, paths: Sequence[str], digests: Sequence[str], chain: str, side: int, resized: int
    ):
        """``digests`` are the files' own; ``chain`` is one of `tlbook.data.views.CHAINS`; ``resized`` is the
        short edge before a centre crop."""
        self.files = _Files(folder, paths, chain, side, resized)
        key = hashlib.sha256("\n".join([VERSION, chain, f"{side} {resized}", *digests]).encode())
        self.cache = decode.cache_folder() / "views" / f"{key.hexdigest()[:24]}.npy"

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, indices: Tensor) -> Tensor:
        """A few images to look at: uint8 (n, 3, side, side), in the test view."""
        (images,) = self._decoded([indices.reshape(-1)])
        return images.round().clamp(0, 255).to(torch.uint8)

    def augments(self, augmentation: str) -> bool:
        """Whether that augmentation is drawn while a file is decoded (else it is done to batches later)."""
        return CHAINS[self.files.chain].augmentation == augmentation

    def resident(self) -> Tensor:
        """All images in memory, test view."""
        return torch.cat(list(self.split(CHUNK)))

    def split(self, size: int, which: slice = slice(None)) -> Iterator[Tensor]:
        """Images in order, test view, ``size`` at a time (as `torch.Tensor.split`): all, or some of them."""
        return self.gather(torch.arange(len(self))[which].split(size))

    def gather(self, parts: Sequence[Tensor], seeds: Sequence[Tensor] | None = None) -> Iterator[Tensor]:
        """The images of each part (int64 indices) as one tensor: (n, 3, side, side), uint8 or float32.

        With ``seeds``, as many for each part, images are as in training, each drawn from its own seed.
        """
        kept = self._kept() if seeds is None else None
        if kept is None:
            yield from self._decoded(parts, seeds)
            return
        for part in parts:
            yield torch.from_numpy(kept[part.numpy()]).expand(-1, 3, -1, -1)

    def _kept(self) -> np.ndarray | None:
        """All test views (n, channels, side, side) in a file of the cache, read as they are wanted.

        Made now if there is none; None where they do not fit on the disk, or would not fit in memory, so that
        a file is no faster.
        """
        one = self.files[0, None]
        if isinstance(one, str) or not fits(size := len(self) * one.nbytes):
            return None
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        if not self.cache.exists() and shutil.disk_usage(self.cache.parent).free < size:
            return None
        with FileLock(f"{self.cache}.lock"):
            try:
                return np.load(self.cache, mmap_mode="r")
            except (OSError, ValueError, EOFError):  # there is none, or it is damaged
                self._write(one)
        return np.load(self.cache, mmap_mode="r")

    def _write(self, one: Tensor) -> None:
        """Decode all test views, each like ``one``, into the cache file."""
        parts = torch.arange(len(self)).split(PIECE)
        with decode.whole(self.cache) as partial:
            file = np.lib.format.open_memmap(partial, "w+", one.numpy().dtype, (len(self), *one.shape))
            progress = tqdm(parts, desc=f"decode {self.files.folder.name}", mininterval=2, delay=2)
            for part, images in zip(progress, self._decoded(parts), strict=True):
                file[part.numpy()] = images[:, : one.shape[0]].numpy()
            file.flush()

    def _decoded(self, parts: Sequence[Tensor], seeds: Sequence[Tensor] | None = None) -> Iterator[Tensor]:
        """`gather`, each image from its file."""
        drawn = [[None] * len(part) for part in parts] if seeds is None else [s.tolist() for s in seeds]
        wanted = [list(zip(p.tolist(), s, strict=True)) for p, s in zip(parts, drawn, strict=True)]
        count = sum(map(len, wanted))
        processes = workers(count)
        loader = DataLoader(
            self.files,
            batch_sampler=[part[i : i + PIECE] for part in wanted for i in range(0, len(part), PIECE)],
            num_workers=processes,
            collate_fn=_stacked,
            generator=torch.Generator(),  # else it would draw from the global one
        )
        started, waited, received = time.monotonic(), 0.0, iter(loader)
        for part in wanted:
            asked = time.monotonic()
            together = [_accepted(next(received)) for _ in range(0, len(part), PIECE)]
            waited += time.monotonic() - asked
            yield torch.cat(together).expand(-1, 3, -1, -1)
        self._report(count, time.monotonic() - started, waited, processes)

    def _report(self, count: int, seconds: float, waited: float, processes: int) -> None:
        folder = self.files.folder
        if seconds < SLOW and folder in _reported:
            return
        _reported.add(folder)
        rate, share = count / max(seconds, 1e-9), 100 * waited / max(seconds, 1e-9)
        where = f"{processes} process{'es' * (processes > 1)}" if processes else "no process of its own"
        print(
            f"{folder.name}: {count} images in {seconds:.1f} s, {rate:.0f} images/s; "
            f"decoding ({where}) was waited for in {share:.0f} % of it",
            file=sys.stderr,
        )


def _stacked(items: list[Tensor | str]) -> Tensor | str:
    refusals = [item for item in items if isinstance(item, str)]
    return refusals[0] if refusals else torch.stack(items)


def _accepted(images: Tensor | str) -> Tensor:
    if isinstance(images, str):
        raise TlbookError(images)
    return images


# Digests of sets that are too large to be read at every start


def digests(folder: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """`decode.digest_files`, remembered in the cache folder for files of the same size and time of change."""
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    index = decode.cache_folder() / "digests" / f"{name}.json"
    index.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{index}.lock"):  # one process reads the files, the others wait for what it found
        try:
            known = json.loads(index.read_text())  # path -> size and time of change, digest
        except (OSError, ValueError):  # there is none, or it is damaged
            known = {}
        stamps = {path: _stamp(folder / path) for path in paths}
        new = [path for path, stamp in stamps.items() if known.get(path, [""])[0] != stamp]
        if new:
            read = decode.digest_files(folder, new)
            known |= {path: [stamps[path], digest] for path, digest in zip(new, read, strict=True)}
            with decode.whole(index) as partial:
                partial.write_text(json.dumps(known))
    return tuple(known[path][1] for path in paths)


def _stamp(path: Path) -> str:
    try:
        status = os.stat(path)
    except OSError as error:
        raise TlbookError(f"The image {path} cannot be read ({error.strerror}).") from error
    return f"{status.st_size} {status.st_mtime_ns}"
