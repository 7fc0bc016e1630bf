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


def tiny_imagenet(
    root: Path, wnids=("n01", "n02", "n03"), train: int = 4, val: int = 2, ending: str = "JPEG"
) -> Path:
    """The official layout of Tiny ImageNet, with validation images listed in an order of their own."""
    folder = root / "tiny-imagenet-200"
    folder.mkdir(parents=True)
    (folder / "wnids.txt").write_text("\n".join(reversed(wnids)) + "\n")
    (folder / "words.txt").write_text("".join(f"{wnid}\tname of {wnid}, other name\n" for wnid in wnids))
    lines = []
    for c, wnid in enumerate(wnids):
        for i in range(train):
            picture(folder / "train" / wnid / "images" / f"{wnid}_{i}.{ending}", seed=10 * c + i)
        for i in range(val):
            name = f"val_{len(lines)}.{ending}"
            picture(folder / "val" / "images" / name, seed=1000 + 10 * c + i)
            lines.append(f"{name}\t{wnid}\t0\t0\t62\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    return folder


def imagenet(root: Path, wnids=("n01", "n02", "n03"), train: int = 6, val: int = 2) -> Path:
    """ImageNet as torchvision's ImageFolder reads it: images of every shape, one of them grey."""
    for c, wnid in enumerate(wnids):
        for part, count in (("train", train), ("val", val)):
            for i in range(count):
                path = root / "imagenet" / part / wnid / f"{wnid}_{i}.JPEG"
                seed = 10 * c + i + (1000 if part == "val" else 0)
                picture(path, seed, size=(30 + 5 * i, 40), mode="L" if i == 0 else "RGB")
    return root / "imagenet"


def domainnet(root: Path, domain: str = "real", classes=("ant", "bee", "cat"), train: int = 9, test: int = 5):
    """DomainNet's layout: images by class, and the split lists, whose lines take turns among the classes."""
    folder = root / "domainnet"
    for part, count in (("train", train), ("test", test)):
        lines = []
        for i in range(count):
            c = i % len(classes)
            name = f"{domain}_{c:03d}_{part}{i:06d}.jpg"
            picture(folder / domain / classes[c] / name, seed=100 * c + i, size=(36, 30 + i))
            lines.append(f"{domain}/{classes[c]}/{name} {c}\n")
        (folder / f"{domain}_{part}.txt").write_text("".join(lines))
    return folder


CHEXPERT_COLUMNS = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,"
    "Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,"
    "Fracture,Support Devices"
)


def chexpert(root: Path, train: int = 20, valid: int = 6, name: str = "CheXpert-v1.0-small") -> Path:
    """CheXpert's layout: a grey image a study, labels of every value in training, 0 and 1 in validation."""
    rng = np.random.default_rng(7)
    sure = ["0.0", "1.0"]
    for part, count, values in (("train", train, ["", "-1.0", *sure]), ("valid", valid, sure)):
        lines = [CHEXPERT_COLUMNS]
        for i in range(count):
            path = f"{part}/patient{i:05d}/study1/view1_{'frontal' if i % 2 else 'lateral'}.jpg"
            picture(root / name / path, seed=i, size=(32 + i, 40), mode="L")
            person = [f"{name}/{path}", "Female", "50", "Frontal", "AP"]
            lines.append(",".join([*person, *rng.choice(values, 14)]))
        (root / name / f"{part}.csv").write_text("\n".join(lines) + "\n")
    return root / name
