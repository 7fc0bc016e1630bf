"""How fast images get into a network and through it: our way against the plain one, on the same images.

    python benchmarks/input.py [--data DIR] [--images N] [--repeats N] [--quick]

Three comparisons, each of pairs that take turns in this one run (a b a b …); a ratio is the median over the
pairs, with the smallest and the largest, so that a busy machine shows in the spread:

- input: an epoch of augmented, normalised, block-shuffled batches. Plain: PIL in a DataLoader, with
  transforms and an unfold and fold for each image. The first epoch is told apart: ours decodes in it.
- training: images per second of whole epochs, input included, at 32 and 64 px. Plain: the same network and
  optimiser in a loop over that DataLoader, without our memory format and treatment of denormal numbers.
- processes: two runs side by side in two processes of one thread, against one after the other in one
  process of two threads. Needs two cores.

``--data`` is a folder of class folders; without it, pictures are drawn and written as JPEG files first.
It needs no package besides tlbook's own.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from tlbook import data, metrics, models, scales
from tlbook.data import batches, embedded, layouts
from tlbook.data.decode import RESIZE_RATIO
from tlbook.data.shuffles import Shuffle
from tlbook.questions import grid
from tlbook.training import executors
from tlbook.training import loop as train
from tlbook.training.specs import RunSpec

SIDES = (32, 64)
BLOCK = 8  # side of the blocks that change places
BATCH = 32
SEED = 1234
DRAWN_SIDE = 96  # of the pictures drawn where no folder is given
EPOCHS_APART = 10  # that each process trains in the third comparison


def draw(folder: Path, count: int) -> Path:
    """A folder of class folders with ``count`` generated pictures as JPEG files."""
    images, labels = embedded.generate("real", "train", count, DRAWN_SIDE)
    for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        path = folder / f"class{label:02d}" / f"{i:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, quality=90)
    return folder


def scale_of(folder: Path, side: int, images: int, epochs: int) -> scales.Scale:
    """`laptop` with those images as its target real, at that side."""
    laptop = scales.get("laptop")
    task = dataclasses.replace(
        laptop.tasks["real"], dataset=f"folder:{folder}", train=images, test=images, batch=BATCH, mixup=0.0
    )
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

    def __init__(self, folder: Path, examples: data.Examples, of: data.Domain, side: int, shuffled: bool):
        self.files = [folder / path for path in examples.paths]
        self.labels = examples.labels.tolist()
        mean, std = (value / 255 for value in of.mean_and_std)
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
        with Image.open(self.files[i]) as image:
            return self.transform(image.convert("RGB")), self.labels[i]


def loader(files: PlainFiles) -> DataLoader:
    """As many worker processes as there are cores, kept from epoch to epoch."""
    workers = executors.default_workers()
    return DataLoader(files, BATCH, shuffle=True, num_workers=workers, persistent_workers=True)


def plain_model(spec: RunSpec) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """The network and optimiser as one would write them down."""
    torch.manual_seed(0)
    model = models.build(spec.network, spec.classes)
    groups = models.parameter_groups(model, spec.rate, spec.weight_decay, spec.momentum)
    return model, torch.optim.SGD(groups)


def plain_epoch(model: torch.nn.Module, optimizer: torch.optim.Optimizer, source: DataLoader) -> None:
    """One epoch of a loop without anything special."""
    torch.set_flush_denormal(False)
    for images, labels in source:
        optimizer.zero_grad()
        metrics.loss(model(images), labels).backward()
        optimizer.step()
    torch.set_flush_denormal(True)


# Measuring


def seconds(call) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def pairs(first, second, repeats: int) -> list[tuple[float, float]]:
    """Seconds of the one and of the other, taking turns."""
    return [(seconds(first), seconds(second)) for _ in range(repeats)]


def row(what: str, ours: list[float], plain: list[float], count: int, first: str = "") -> str:
    """One line of the table: images/s of both (medians), the ratio and its range over the pairs."""
    ratios = [b / a for a, b in zip(ours, plain, strict=True)]
    speeds = [count / statistics.median(times) for times in (ours, plain)]
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    return f"{what:34} {speeds[0]:9.0f} {speeds[1]:9.0f}   {middle:6.2f}  ({low:.2f} to {high:.2f}){first}"


def compare_input(folder: Path, images: int, repeats: int) -> list[str]:
    """Batches alone, block-shuffled, at the smaller side."""
    side, lines = SIDES[0], []
    scale = scale_of(folder, side, images, 1)
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    of = data.load(data.request(scale, "real"))
    view = batches.View.of(of, side, "own", Shuffle.block(BLOCK, SEED))

    def ours() -> None:
        for _ in batches.training(of.train, view, "crop-flip", BATCH, rng):
            pass

    ours()
    first = time.perf_counter() - started  # with reading, decoding and splitting
    root = layouts.listing(f"folder:{folder}").folder
    source = loader(PlainFiles(root, of.train, of, side, shuffled=True))

    def plain() -> None:
        for _ in source:
            pass

    plain_first = seconds(plain)
    timed = pairs(ours, plain, repeats)
    note = f"; first epoch {first:.1f} s and {plain_first:.1f} s"
    lines.append(row(f"input, {side} px, blocks of {BLOCK}", *map(list, zip(*timed, strict=True)),
                     len(of.train), note))  # fmt: skip
    return lines


def compare_training(folder: Path, images: int, repeats: int) -> list[str]:
    """Whole training epochs at both sides."""
    lines = []
    for side in SIDES:
        scale = scale_of(folder, side, images, 1)
        of = data.load(data.request(scale, "real"))
        spec = grid.ri_t(scale, "real", "low", 0)
        state = train.initial(spec, None)
        view = batches.View.of(of, side, "own", Shuffle.none())
        rng = np.random.default_rng(0)

        def ours(of=of, view=view, spec=spec, state=state, rng=rng) -> None:
            for pictures, labels in batches.training(of.train, view, spec.augmentation, BATCH, rng):
                train.step(spec, state, pictures, labels, rng)

        root = layouts.listing(f"folder:{folder}").folder
        source = loader(PlainFiles(root, of.train, of, side, shuffled=False))
        model, optimizer = plain_model(spec)

        def plain(model=model, optimizer=optimizer, source=source) -> None:
            plain_epoch(model, optimizer, source)

        ours(), plain()  # warm
        timed = pairs(ours, plain, repeats)
        lines.append(row(f"training, {side} px", *map(list, zip(*timed, strict=True)), len(of.train)))
    return lines


def worker(sizes: tuple[Path, int, int, int], seeds: list[int], threads: int, ready, go, done) -> None:
    """A process that trains those seeds one after the other, from a signal on; ``sizes`` as in `scale_of`."""
    torch.set_num_threads(threads)
    train.prepare()
    scale = scale_of(*sizes)
    of = data.load(data.request(scale, "real"))
    specs = [grid.ri_t(scale, "real", "low", seed) for seed in seeds]
    train.train(dataclasses.replace(specs[0], epochs=1, steps=()), of, train.initial(specs[0], None))  # warm
    ready.release()
    go.wait()
    for spec in specs:
        train.train(spec, of, train.initial(spec, None))
    done.release()


def side_by_side(sizes: tuple[Path, int, int, int], shares: list[list[int]], threads: int) -> float:
    """Seconds in which processes of that many threads, one for each share of seeds, train all of them."""
    context = get_context("spawn")
    ready, done, go = context.Semaphore(0), context.Semaphore(0), context.Event()
    arguments = [(sizes, share, threads, ready, go, done) for share in shares]
    processes = [context.Process(target=worker, args=given) for given in arguments]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    started = time.perf_counter()
    go.set()
    for _ in processes:
        done.acquire()
    took = time.perf_counter() - started
    for process in processes:
        process.join()
    return took


def compare_processes(folder: Path, images: int, repeats: int) -> list[str]:
    """Two runs in two processes of one thread, against one process of two threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        return ["processes: needs two cores, and here is one"]
    sizes = (folder, SIDES[0], images, EPOCHS_APART)
    count = 2 * EPOCHS_APART * len(data.load(data.request(scale_of(*sizes), "real")).train)
    timed = pairs(
        lambda: side_by_side(sizes, [[0], [1]], 1), lambda: side_by_side(sizes, [[0, 1]], 2), repeats
    )
    return [row("2 processes x 1 thread, 32 px", *map(list, zip(*timed, strict=True)), count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of class folders; default: drawn pictures")
    parser.add_argument("--images", type=int, default=2000, help="training images")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of each comparison")
    parser.add_argument("--only", choices=("input", "training", "processes"), help="one comparison")
    parser.add_argument("--quick", action="store_true", help="300 images, 2 pairs: to see that it works")
    given = parser.parse_args()
    images, repeats = (300, 2) if given.quick else (given.images, given.repeats)
    compared = {"input": compare_input, "training": compare_training, "processes": compare_processes}
    with tempfile.TemporaryDirectory() as made:
        os.environ["TLBOOK_CACHE"] = f"{made}/cache"  # so that the first epoch is a first one
        folder = given.data or draw(Path(made) / "drawn", 3 * images)
        load = os.getloadavg()[0]
        print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), load {load:.1f} at the start")
        print(f"{'images/s, medians':34} {'ours':>9} {'plain':>9}   {'ratio':>6}  over the pairs")
        for name, compare in compared.items():
            if given.only in (None, name):
                print("\n".join(compare(folder, images, repeats)), flush=True)


if __name__ == "__main__":
    main()
