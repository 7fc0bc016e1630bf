"""How fast is a line between two models measured? Ours against the usual way, in one run.

    python benchmarks/interpolation.py [FOLDER] [--scale laptop] [--points 5] [--threads N] [--quick]

FOLDER holds one sub-folder of images per class; without it, generated images are written to a temporary
folder as JPEG files. Compared, for the same points on the same line and the same images:

- files: for every point an interpolated state dict is loaded from its file, and a DataLoader decodes, scales
  and normalises the images (torchvision's ImageFolder, the batch of the others);
- ours: `along` of question 3, images resident, weights interpolated in memory and copied in place;
- stacked: as ours, all points in one call of torch.func.vmap.

What ours and stacked do once beforehand (read and decode the images) is shown apart.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from pairs import RATIOS, faster, in_turns
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
        path.parent.mkdir(parents=True, exist_ok=True)
        v2.functional.to_pil_image(image).save(path, quality=90)
    return folder


def dataset(folder: Path, side: int) -> ImageFolder:
    """The images as tensors that a network can read."""
    steps = [v2.ToImage(), v2.Resize((side, side)), v2.ToDtype(torch.float32, scale=True)]
    return ImageFolder(folder, v2.Compose([*steps, v2.Normalize(MEAN, STD)]))


def accuracies(logits_of, batches) -> list[float]:
    """Percent right at every point; ``logits_of`` maps images to logits (points, n, k)."""
    with torch.no_grad():
        right = [(logits_of(images).argmax(2) == labels).double() for images, labels in batches]
    return (100 * torch.cat(right, 1).mean(1)).tolist()


def from_files(model, files: list[Path], loader: DataLoader) -> list[float]:
    """The usual way."""
    found = []
    for file in files:
        model.load_state_dict(models.load(file))
        found += accuracies(lambda images: model(images)[None], loader)
    return found


def ours(evaluator: Evaluator, ends, places) -> list[float]:
    line = along(evaluator, *ends, places)
    return line[line.metric == "accuracy"].value.tolist()


def stacked(model, ends, places, batches) -> list[float]:
    """All points at once."""
    states = [interpolate(*ends, place) for place in places]
    together = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    call = torch.func.vmap(lambda state, x: torch.func.functional_call(model, state, x), in_dims=(0, None))
    return accuracies(lambda images: call(together, images), batches)


def compare(given: argparse.Namespace, scratch: Path) -> None:
    """Measure and print one table."""
    scale = scales.get(given.scale)
    image_files = dataset(given.folder or generated(scratch / "images", given.images), scale.side)
    loader = DataLoader(image_files, BATCH)
    began = time.perf_counter()
    batches = [(images.contiguous(memory_format=torch.channels_last), labels) for images, labels in loader]
    once = time.perf_counter() - began
    plain, model, *others = (models.build(scale.network, len(image_files.classes)) for _ in range(4))
    plain, model = plain.eval(), model.to(memory_format=torch.channels_last).eval()
    ends, places = [network.state_dict() for network in others], alphas(given.points)
    files = [scratch / f"{number}.safetensors" for number in range(len(places))]
    for file, place in zip(files, places, strict=True):
        models.save(interpolate(*ends, place), file)
    evaluator = Evaluator(model, {"test": batches})
    ways = {
        "files": lambda: from_files(plain, files, loader),
        "ours": lambda: ours(evaluator, ends, places),
        "stacked": lambda: stacked(model, ends, places, batches),
    }
    wanted = torch.tensor(ways["files"]())
    for name, way in ways.items():  # to within one image in a hundred, before any is timed
        if not torch.allclose(found := torch.tensor(way()), wanted, atol=1.0):
            raise SystemExit(f"{name} finds {found.tolist()}, files {wanted.tolist()}")
    seconds = in_turns(ways, given.rounds)
    sizes = f"{len(image_files)} images at {scale.side} px, {len(places)} points"
    print(f"{scale.network}, {sizes}, {given.threads} thread(s); read and decoded once: {once:.2f} s")
    print(f"{'way':8} {'s a point':>10}   faster than files: {RATIOS}")
    for name, own in seconds.items():
        print(f"{name:8} {statistics.median(own) / len(places):10.3f}   {faster(own, seconds['files'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--scale", default="laptop", choices=list(scales.SCALES))
    parser.add_argument("--points", type=int, default=5)
    parser.add_argument("--images", type=int, default=1000, help="generated images, without a folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of all three ways")
    parser.add_argument("--quick", action="store_true", help="40 images, 3 points, 1 round: does it work?")
    given = parser.parse_args()
    if given.quick:
        given.points, given.images, given.rounds = 3, 40, 1
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as scratch:
        compare(given, Path(scratch))


if __name__ == "__main__":
    main()
