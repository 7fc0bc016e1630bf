"""Trees of small pictures in the layouts that the package reads."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> Path:
    """A picture of noise, different for every seed; lossless if its ending is png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)
    return path


def class_folders(folder: Path, classes=("cat", "dog"), count: int = 10, ending: str = "png") -> Path:
    """``count`` pictures in a folder for each class."""
    for c, name in enumerate(classes):
        for i in range(count):
            picture(folder / name / f"{i:02d}.{ending}", seed=100 * c + i)
    return folder


def tiny_imagenet(root: Path, wnids=("n01", "n02", "n03"), train: int = 4, val: int = 2) -> Path:
    """The official layout of Tiny ImageNet, with validation images listed in an order of their own."""
    folder = root / "tiny-imagenet-200"
    folder.mkdir(parents=True)
    (folder / "wnids.txt").write_text("\n".join(reversed(wnids)) + "\n")
    (folder / "words.txt").write_text("".join(f"{wnid}\tname of {wnid}, other name\n" for wnid in wnids))
    lines = []
    for c, wnid in enumerate(wnids):
        for i in range(train):
            picture(folder / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", seed=10 * c + i)
        for i in range(val):
            name = f"val_{len(lines)}.JPEG"
            picture(folder / "val" / "images" / name, seed=1000 + 10 * c + i)
            lines.append(f"{name}\t{wnid}\t0\t0\t62\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    return folder
