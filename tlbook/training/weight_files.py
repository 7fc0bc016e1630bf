"""Weights that come as files, named by the SHA-256 of their content: shipped with tlbook, or users' own.

A scale's P is shipped as ``pretrained/<scale>.safetensors``, other epochs of its pre-training beside it in
bfloat16, and ``pretrained/<scale>.json`` tells what they are.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from tlbook import models
from tlbook.errors import TlbookError
from tlbook.training.specs import File

SHIPPED = Path(__file__).parent / "pretrained"


def is_shipped(scale: str) -> bool:
    """Whether a P of that scale lies in the package."""
    return (SHIPPED / f"{scale}.json").exists()


def card(scale: str) -> dict:
    """What is known of a shipped P: ``files`` (epoch -> name, sha256, dtype), ``final`` epoch, ``run``."""
    if not is_shipped(scale):
        none = f"No pre-trained weights are shipped for scale {scale!r}"
        raise TlbookError(f"{none}; set pretrained to 'train', or to a .safetensors file.")
    return json.loads((SHIPPED / f"{scale}.json").read_text())


def shipped(scale: str, epoch: int | str = "final") -> File:
    """P of a scale as shipped, or another epoch of its pre-training; one that is not shipped is refused."""
    known = card(scale)
    epoch = known["final"] if epoch == "final" else epoch
    if str(epoch) not in known["files"]:
        epochs = ", ".join(known["files"])
        raise TlbookError(f"Epoch {epoch} of P at scale {scale} is not shipped, only {epochs}.")
    return File(known["files"][str(epoch)]["sha256"])


def locate(file: File, folder: Path) -> Path:
    """Where a file lies, in the package or in ``folder`` (users' own); refused if absent or damaged."""
    path = folder / f"{file.sha256}.safetensors"
    for found in SHIPPED.glob("*.json"):
        for entry in json.loads(found.read_text())["files"].values():
            if entry["sha256"] == file.sha256:
                path = SHIPPED / entry["name"]
    if not path.exists():
        raise TlbookError(f"There is no weights file with SHA-256 {file.sha256[:12]}… in {path.parent}.")
    if models.sha256(path) != file.sha256:
        raise TlbookError(f"The weights file {path} is damaged: its SHA-256 is not {file.sha256[:12]}….")
    return path


def register(path: Path, folder: Path) -> File:
    """A user's weights to start from: checked, and kept as safetensors in ``folder`` under their digest.

    A safetensors file, or a checkpoint of the official code or a bare state dict that torch saved (by its
    ending, `models.OFFICIAL`); names that all begin with ``module.`` lose that. Refused: a file that is not
    there, not whole, or of another format.
    """
    if not path.is_file():
        raise TlbookError(f"There is no file {path}; pretrained is 'train', 'shipped' or a weights file.")
    status = path.stat()
    return _registered(path.resolve(), status.st_size, status.st_mtime_ns, folder)


@functools.lru_cache(maxsize=8)
def _registered(path: Path, size: int, changed: int, folder: Path) -> File:
    """`register`, done once for a file as it stands, since every spec of a P-T asks."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{os.getpid()}.partial"
    try:
        if path.name.endswith(models.OFFICIAL):
            models.save(models.load_official(path), partial)
        elif (state := models.load(path)).keys() != (plain := models.without_prefix(state)).keys():
            models.save(plain, partial)
        else:
            shutil.copyfile(path, partial)
        file = File(models.sha256(partial))
        os.replace(partial, folder / f"{file.sha256}.safetensors")
    finally:
        partial.unlink(missing_ok=True)
    return file


def ship(run, scale: str, epochs: Sequence[int], folder: Path = SHIPPED) -> list[Path]:
    """Write a finished pre-training run's last epoch (float32), other ``epochs`` (bfloat16) and the card.

    ``run`` is a `tlbook.training.runs.Run`. Epoch 0 needs no file: a seed draws it. Earlier files go.
    """
    final = max(run.kept())
    for old in folder.glob(f"{scale}*.safetensors"):
        old.unlink()
    files = {}
    for epoch in sorted({final, *epochs} - {0}):
        dtype = torch.float32 if epoch == final else torch.bfloat16
        name = f"{scale}.safetensors" if epoch == final else f"{scale}-epoch-{epoch:03d}.safetensors"
        models.save({key: value.to(dtype) for key, value in run.weights(epoch).items()}, folder / name)
        files[str(epoch)] = {"name": name, "sha256": models.sha256(folder / name), "dtype": str(dtype)}
    history = run.history()
    accuracy = history[(history.split == "test") & (history.metric == "accuracy")]
    known = {
        "scale": scale,
        "final": final,
        "files": files,
        "test_accuracy": dict(zip(accuracy.epoch.astype(str), accuracy.value.round(3), strict=True)),
        "run": run.spec,
        "complete": run.complete,
    }
    (folder / f"{scale}.json").write_text(json.dumps(known, indent=1) + "\n")
    return [folder / f"{scale}.json", *(folder / entry["name"] for entry in files.values())]
