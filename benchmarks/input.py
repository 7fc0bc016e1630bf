"""How fast images get into a network and through it: our way against the plain one, on the same images.

    python benchmarks/input.py [--data DIR] [--images N] [--rounds N] [--only NAME] [--rate N] [--cpu]

Four comparisons, of pairs that take turns in this one run:

- input: an epoch of augmented, normalised, block-shuffled batches. Plain: PIL in a DataLoader, with
  transforms and an unfold and fold for each image. The first epoch is told apart: ours decodes in it.
- training: whole epochs, input included, at 32 and 64 px. Plain: the same network and optimiser in a loop
  over that DataLoader, without our memory format and treatment of denormal numbers.
- processes: two runs side by side in two processes of one thread, against one after the other in one
  process of two threads. Needs two cores.
- decoding: files of 224 and 500 px to random crops of 224 px, as scale `paper` streams them, by 1, 2, 4, …
  processes; and how many of them feed a card that trains on ``--rate`` images a second. Plain: an ImageFolder
  in a DataLoader. With ``--cpu``, processors' seconds are counted, for machines that other programs share.

``--data`` is a folder of class folders; without it, pictures are drawn and written as JPEG files first.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from joblib import cpu_count
from pairs import RATIOS, drawn, faster, in_turns
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms

from tlbook import data, metrics, models, scales
from tlbook.data import batches, layouts
from tlbook.data.decode import FORMATS, RESIZE_RATIO
from tlbook.data.shuffles import Shuffle
from tlbook.data.stream import Stream
from tlbook.questions import grid, plan
from tlbook.training import executors, loop

BLOCK = 8  # side of the blocks that change places
BATCH = 32
SEED = 1234
DRAWN_SIDE = 96  # of the pictures drawn where no folder is given
EPOCHS_APART = 10  # that each process trains in the third comparison
FILE_SIDES = (224, 500)  # of the pictures drawn for the fourth,
FILES = 200  # and how many, read again and again
VIEW, TOGETHER = 224, 256  # of `paper`: side and images of a batch
Sizes = tuple[Path, int, int]  # folder of images, their side, how many


def scale_of(folder: Path, side: int, images: int, epochs: int) -> scales.Scale:
    """`laptop` with those images as its target real, at that side."""
    laptop = scales.get("laptop")
    sizes = {"train": images, "test": images, "batch": BATCH}
    task = dataclasses.replace(laptop.tasks["real"], dataset=f"folder:{folder}", mixup=0.0, **sizes)
    return laptop.replace(side=side, shuffles={"sizes": (BLOCK, side)}, tasks={"real": task}, epochs=epochs)


# The plain way


class BlockShuffle:
    """One image (c, s, s) with its blocks in another order, by unfold and fold."""

    def __init__(self, side: int):
        self.side = side
        self.order = torch.from_numpy(np.random.RandomState(SEED).permutation((side // BLOCK) ** 2))

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        blocks = F.unfold(image[None], BLOCK, stride=BLOCK)[:, :, self.order]
        return F.fold(blocks, (self.side, self.side), BLOCK, stride=BLOCK)[0]


class PlainFiles(Dataset):
    """Image files opened with PIL one by one, transformed one by one."""

    def __init__(self, domain: data.Domain, side: int, shuffled: bool):
        folder = layouts.listing(domain.dataset).folder
        self.files = [folder / path for path in domain.train.paths]
        self.labels = domain.train.labels.tolist()
        mean, std = (value / 255 for value in domain.mean_and_std)
        steps = [
            transforms.Resize(round(side * RESIZE_RATIO)),
            transforms.CenterCrop(side),
            transforms.RandomCrop(side, padding=side // 8),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
        self.transform = transforms.Compose([*steps, BlockShuffle(side)] if shuffled else steps)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.files[i], formats=FORMATS) as image:
            return self.transform(image.convert("RGB")), self.labels[i]


def plain_batches(domain: data.Domain, side: int, shuffled: bool) -> DataLoader:
    """As many worker processes as there are cores, kept from epoch to epoch."""
    settings = {"num_workers": executors.default_workers(), "persistent_workers": True}
    return DataLoader(PlainFiles(domain, side, shuffled), BATCH, shuffle=True, **settings)


def plain_epoch(model: torch.nn.Module, optimizer: torch.optim.Optimizer, source: DataLoader) -> None:
    """One epoch of a loop without anything special."""
    torch.set_flush_denormal(False)
    for images, labels in source:
        optimizer.zero_grad()
        metrics.loss(model(images), labels).backward()
        optimizer.step()
    torch.set_flush_denormal(True)


# Measuring


def row(what: str, ours: Sequence[float], plain: Sequence[float], count: int, note: str = "") -> None:
    """A line of the table: images per second of both ways (medians over rounds), and the ratio."""
    speeds = [count / statistics.median(seconds) for seconds in (ours, plain)]
    print(f"{what:30} {speeds[0]:9.0f} {speeds[1]:9.0f}   {faster(ours, plain)}{note}", flush=True)


def through(batches_: Iterable) -> None:
    """Take all, and do nothing with them."""
    for _ in batches_:
        pass


def compare_input(folder: Path, images: int, rounds: int, side: int = 32) -> None:
    """Batches alone, block-shuffled."""
    began = time.perf_counter()
    domain = data.load(data.request(scale_of(folder, side, images, 1), "real"))
    view = batches.View.of(domain, side, "own", Shuffle.block(BLOCK, SEED))
    rng, source = np.random.default_rng(0), plain_batches(domain, side, shuffled=True)

    ways = {
        "ours": lambda: through(batches.training(domain.train, view, "crop-flip", BATCH, rng)),
        "plain": lambda: through(source),
    }
    ways["ours"]()
    first = time.perf_counter() - began  # with reading, decoding and splitting
    (plain_first,) = in_turns({"plain": ways["plain"]}, 1)["plain"]
    note = f"; first epoch {first:.1f} s and {plain_first:.1f} s"
    row(f"input, {side} px, blocks of {BLOCK}", *in_turns(ways, rounds).values(), len(domain.train), note)


def compare_training(folder: Path, images: int, rounds: int) -> None:
    """Whole training epochs at two sides."""
    for side in (32, 64):
        scale = scale_of(folder, side, images, 1)
        domain = data.load(data.request(scale, "real"))
        spec = grid.ri_t(scale, "real", "low", 0)
        state, rng = loop.initial(spec, None), np.random.default_rng(0)
        view = batches.View.of(domain, side, "own", Shuffle.none())
        torch.manual_seed(0)
        model = models.build(spec.network, spec.classes)
        optimizer = torch.optim.SGD(model.parameter_groups(spec.rate, spec.weight_decay, spec.momentum))
        source = plain_batches(domain, side, shuffled=False)

        def ours() -> None:
            epoch = batches.training(domain.train, view, spec.augmentation, BATCH, rng)  # noqa: B023
            for pictures, labels in epoch:
                loop.step(spec, state, pictures, labels, rng)  # noqa: B023

        ways = {"ours": ours, "plain": lambda: plain_epoch(model, optimizer, source)}  # noqa: B023
        in_turns(ways, 1)  # warm
        row(f"training, {side} px", *in_turns(ways, rounds).values(), len(domain.train))


def begin(sizes: Sizes, threads: int, all_here) -> None:
    """A process of so many threads, warm when all others are."""
    torch.set_num_threads(threads)
    loop.prepare()
    train_seeds(sizes, [0], epochs=1)
    all_here.wait()


def train_seeds(sizes: Sizes, seeds: list[int], epochs: int = EPOCHS_APART) -> None:
    """One run after the other."""
    scale = scale_of(*sizes, epochs)
    domain = data.load(data.request(scale, "real"))
    for spec in (grid.ri_t(scale, "real", "low", seed) for seed in seeds):
        loop.train(spec, domain, loop.initial(spec, None))


def side_by_side(sizes: Sizes, shares: list[list[int]], threads: int) -> float:
    """Seconds in which processes of that many threads, one for each share of seeds, train all of them."""
    context, count = get_context("spawn"), len(shares)
    given = sizes, threads, context.Barrier(count)
    with ProcessPoolExecutor(count, context, initializer=begin, initargs=given) as pool:
        list(pool.map(abs, range(count)))  # until all are warm
        began = time.perf_counter()
        list(pool.map(train_seeds, [sizes] * count, shares))
        return time.perf_counter() - began


def compare_processes(folder: Path, images: int, rounds: int) -> None:
    """Two runs in two processes of one thread, against one process of two threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        return print("processes: needs two cores, and here is one")
    sizes = folder, 32, images
    count = 2 * EPOCHS_APART * len(data.load(data.request(scale_of(*sizes, 1), "real")).train)
    pairs = [(side_by_side(sizes, [[0], [1]], 1), side_by_side(sizes, [[0, 1]], 2)) for _ in range(rounds)]
    row("2 processes x 1 thread, 32 px", *zip(*pairs, strict=True), count)


COMPARED = {"input": compare_input, "training": compare_training, "processes": compare_processes}


def all_processors() -> float:
    """Seconds of processors that this process and those that it has ended took."""
    return sum(os.times()[:4])


def compare_decoding(folder: Path, images: int, rounds: int, rate: float, cpu: bool) -> None:
    """Random crops of the files in a folder, by more and more processes."""
    paths = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))
    size = sum((folder / path).stat().st_size for path in paths) / len(paths) / 1000
    print(f"decoding {len(paths)} files of {folder.name}, {size:.0f} kB each")
    wanted = torch.arange(images) % len(paths)
    parts, seeds = wanted.split(TOGETHER), torch.arange(images).split(TOGETHER)
    files = Stream(folder, paths, paths, "natural", VIEW, VIEW)
    crop = [transforms.RandomResizedCrop(VIEW), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    plain = Subset(datasets.ImageFolder(folder, transforms.Compose(crop)), wanted.tolist())
    for processes in (2**k for k in range(cpu_count().bit_length())):
        os.environ["TLBOOK_DECODERS"] = str(processes)
        loader = DataLoader(plain, TOGETHER, num_workers=processes)
        ways = {"ours": lambda: through(files.gather(parts, seeds)), "plain": lambda: through(loader)}  # noqa: B023
        seconds = in_turns(ways, rounds, all_processors if cpu else time.perf_counter)
        each = images / statistics.median(seconds["ours"]) / (1 if cpu else processes)
        note = f"; {rate:.0f} images/s need {math.ceil(rate / each)} of these"
        row(f"decoding, {processes} process(es)", *seconds.values(), images, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of class folders; default: drawn pictures")
    parser.add_argument("--images", type=int, default=2000, help="training images")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each comparison")
    parser.add_argument("--only", choices=[*COMPARED, "decoding"], help="one comparison")
    parser.add_argument("--rate", type=float, help="images/s that a card trains on; default: measured here")
    parser.add_argument("--cpu", action="store_true", help="decoding: processors' seconds, not the wall's")
    parser.add_argument("--quick", action="store_true", help="60 images, 1 pair: does it work?")
    given = parser.parse_args()
    images, rounds = (60, 1) if given.quick else (given.images, given.rounds)
    with tempfile.TemporaryDirectory() as made:
        os.environ["TLBOOK_CACHE"] = f"{made}/cache"  # so that the first epoch is a first one
        folder = given.data or drawn(Path(made) / "drawn", 3 * images, DRAWN_SIDE)
        load = os.getloadavg()[0]
        print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), load {load:.1f} at the start")
        print(f"{'images/s, medians':30} {'ours':>9} {'plain':>9}   faster: {RATIOS}")
        for name, compare in COMPARED.items():
            if given.only in (None, name):
                compare(folder, images, rounds)
        if given.only in (None, "decoding"):
            rate = given.rate or plan.throughput(scales.get("paper"))
            for side in [0] if given.data else FILE_SIDES:
                files = given.data or drawn(Path(made) / f"{side} px", min(images, FILES), side)
                compare_decoding(files, images, rounds, rate, given.cpu)


if __name__ == "__main__":
    main()
