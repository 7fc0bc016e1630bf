"""How fast is a line between two models measured? Ours against the usual way, in one run.

    python benchmarks/interpolation.py [FOLDER] [--scale laptop] [--points 5] [--threads N] [--quick]

FOLDER holds one sub-folder of images per class; without it, generated images are written to a temporary
folder as JPEG files. Compared, for the same points on the same line and the same images:

- files: for every point an interpolated state dict is loaded from its file, and a DataLoader decodes, scales
  and normalises the images (torchvision's ImageFolder, the batch of the others);
- ours: `tlbook.questions.loss_landscape.method.barrier.along`, images resident, weights interpolated in memory and copied in place;
- stacked: as ours, all points in one call of torch.func.vmap.

Each round runs all three in turn; ratios are medians over rounds of pairs within a round. What ours and
stacked do once beforehand (read and decode the images) is shown apart.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from tlbook import models, scales
from tlbook.data import embedded
from tlbook.models.interpolation import interpolate
from tlbook.questions.loss_landscape.method.barrier import along, alphas
from tlbook.questions.loss_landscape.method.evaluation import Evaluator

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 512
SIDE_OF_FILES = 224  # of generated files: about what the images of PACS have


def generated(folder: Path, count: int) -> Path:
    """That many generated images as JPEG files, in class folders."""
    images, labels = embedded.generate("real", "test", count, SIDE_OF_FILES)
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        path = folder / f"class{label}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        v2.functional.to_pil_image(image).save(path, quality=90)
    return folder


def dataset(folder: Path, side: int) -> ImageFolder:
    """The images as tensors that a network can read."""
    steps = [v2.ToImage(), v2.Resize((side, side)), v2.ToDtype(torch.float32, scale=True)]
    return ImageFolder(folder, v2.Compose([*steps, v2.Normalize(MEAN, STD)]))


def from_files(model, files: list[Path], loader: DataLoader) -> list[float]:
    """Accuracy at every point, the usual way."""
    found = []
    for file in files:
        model.load_state_dict(models.load(file))
        right = total = 0
        with torch.no_grad():
            for images, labels in loader:
                right += (model(images).argmax(1) == labels).sum().item()
                total += len(labels)
        found.append(100 * right / total)
    return found


def ours(evaluator: Evaluator, ends, places) -> list[float]:
    """Accuracy at every point with `along`."""
    line = along(evaluator, *ends, places)
    return line[line.metric == "accuracy"].value.tolist()


def stacked(model, ends, places, batches) -> list[float]:
    """Accuracy at every point, all points at once."""
    states = [interpolate(*ends, place) for place in places]
    together = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    call = torch.func.vmap(lambda state, x: torch.func.functional_call(model, state, x), in_dims=(0, None))
    right = total = 0
    with torch.no_grad():
        for images, labels in batches:
            right += (call(together, images).argmax(2) == labels).sum(1)
            total += len(labels)
    return (100 * right / total).tolist()


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--scale", default="laptop", choices=list(scales.SCALES))
    parser.add_argument("--points", type=int, default=5)
    parser.add_argument("--images", type=int, default=1000, help="generated images, without a folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of all three ways")
    parser.add_argument("--quick", action="store_true", help="200 images, 3 points, 2 rounds")
    given = parser.parse_args()
    if given.quick:
        given.points, given.images, given.rounds = 3, 200, 2
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as scratch:
        table = measured(given, Path(scratch))
    print(table)


def measured(given: argparse.Namespace, scratch: Path) -> str:
    """The table as text."""
    scale = scales.get(given.scale)
    folder = given.folder or generated(scratch, given.images)
    files_set = dataset(folder, scale.side)
    started = time.perf_counter()
    batches = [
        (images.contiguous(memory_format=torch.channels_last), labels)
        for images, labels in DataLoader(files_set, BATCH)
    ]
    once = time.perf_counter() - started
    count = sum(len(labels) for _, labels in batches)
    networks = [models.build(scale.network, len(files_set.classes)) for _ in range(3)]
    model = networks[0].to(memory_format=torch.channels_last).eval()
    ends = [network.state_dict() for network in networks[1:]]
    places = alphas(given.points)
    files = [scratch / f"{number}.safetensors" for number in range(len(places))]
    for file, place in zip(files, places, strict=True):
        models.save(interpolate(*ends, place), file)
    plain, loader = models.build(scale.network, len(files_set.classes)).eval(), DataLoader(files_set, BATCH)
    evaluator = Evaluator(model, {"test": batches})
    ways = {
        "files": lambda: from_files(plain, files, loader),
        "ours": lambda: ours(evaluator, ends, places),
        "stacked": lambda: stacked(model, ends, places, batches),
    }
    agree(ways)
    seconds = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    sizes = f"{count} images at {scale.side} px, {len(places)} points, {given.threads} thread(s)"
    lines = [
        f"{scale.network}, {sizes}",
        f"read and decoded once: {once:.2f} s",
        "",
        "way       s a point   times as fast as files",
    ]
    for name, own in seconds.items():
        ratio = statistics.median(f / s for f, s in zip(seconds["files"], own, strict=True))
        lines.append(f"{name:8} {statistics.median(own) / len(places):10.3f} {ratio:14.1f}")
    return "\n".join(lines)


def agree(ways: dict) -> None:
    """All ways must find the same accuracies, to within one image in a hundred, before any is timed."""
    found = {name: torch.tensor(way()) for name, way in ways.items()}
    for name, values in found.items():
        if not torch.allclose(values, found["files"], atol=1.0):
            raise SystemExit(f"{name} finds {values.tolist()}, files {found['files'].tolist()}")


if __name__ == "__main__":
    main()
