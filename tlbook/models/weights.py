"""Weights on disk, and starting a network from another's weights.

We write and read safetensors. The one other format is torch's own, of the official code's checkpoints and of
bare state dicts, which `load_official` reads without running what a pickle could run.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import uuid4

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from tlbook.errors import TlbookError, at
from tlbook.models.family import Network

OFFICIAL = (".pth.tar", ".pth", ".pt")  # endings of the official code's checkpoints, ckpt-E090.pth.tar

# What checkpoints hold besides tensors: an epoch, a best metric as a NumPy number, under either of two names.
_SCALAR = np._core.multiarray.scalar
_PLAIN = {
    type(np.dtype(kind))
    for kind in (*np.sctypeDict.values(), "M8[s]", "m8[s]")
    if np.dtype(kind).char not in "OV"
}
_NUMPY_NUMBERS = [(_SCALAR, "numpy.core.multiarray.scalar"), _SCALAR, np.dtype, *_PLAIN]

# What weights can be, so that copying, measuring and redrawing them means something.
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
# What a file is that is no weights file, by how it begins.
_OTHERS = {
    b"\x89HDF": "an HDF5 file",
    b"<": "a web page, perhaps of a failed download",
    b"version https://git-lfs": "a Git LFS pointer, whose content was not fetched",
    b"GGUF": "a GGUF file",
}


def save(state: Mapping[str, Tensor], path: str | os.PathLike) -> None:
    """Write a state dict as one safetensors file: whole or not at all. Its folder is made if absent."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A clone each: safetensors refuses tensors that share memory or are laid out channels_last.
    layout = torch.contiguous_format
    tensors = {name: tensor.detach().cpu().clone(memory_format=layout) for name, tensor in state.items()}
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with at(path), open(unfinished, "wb") as file:
            file.write(safetensors.torch.save(tensors))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: str | os.PathLike) -> dict[str, Tensor]:
    """The state dict of a safetensors file, on the CPU, sorted by name; any other file is refused, naming it.

    Sorted, since safetensors gives another order in each process, and sums and draws must be repeatable.
    """
    path = _there(path)
    content = path.read_bytes()
    try:
        state = dict(sorted(safetensors.torch.load(content).items()))
    except KeyError as error:  # a type of numbers that safetensors has and torch has not
        raise TlbookError(f"{path} holds tensors of the type {error}, which are not read.") from error
    except (SafetensorError, ValueError) as error:
        # Looked at only now: a whole safetensors file may begin with the same bytes (its header's length).
        pickle = content.startswith((b"PK\x03\x04", b"\x80"))
        kind = "a pickle, and these are never read" if pickle else "truncated, damaged or another format"
        raise TlbookError(f"{path} is not a whole safetensors file: it is {kind}.") from error
    _refuse_other_tensors(state, path)
    return state


def load_official(path: str | os.PathLike) -> dict[str, Tensor]:
    """The state dict of a checkpoint of the official code, or a bare one, on the CPU, without ``module.``.

    Read by torch's restricted unpickler (``weights_only``), which knows tensors and plain values; NumPy's
    numbers are allowed besides, since CheXpert's checkpoints hold one. A file with anything else in it
    (TorchScript, another format), or that neither has a ``state_dict`` of tensors nor is one, is refused for
    what it is and nothing in it is run.
    """
    path = _there(path)
    with open(path, "rb") as file:
        try:
            with torch.serialization.safe_globals(_NUMPY_NUMBERS), warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # of sparse and old formats: `_refuse_other_tensors` says more
                content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a broken file makes its readers raise whatever they stumble over
            raise TlbookError(f"{path} {_no_checkpoint(file, error)}.") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = isinstance(state, dict) and state and all(isinstance(value, Tensor) for value in state.values())
    if not tensors or not all(isinstance(name, str) for name in state):
        instead = "save what the network's state_dict() returns, with torch.save or as .safetensors"
        raise TlbookError(f"{path} has no state_dict of tensors, and is none itself; {instead}.")
    _refuse_other_tensors(state, path)
    return without_prefix(state)


def _no_checkpoint(file: BinaryIO, error: Exception) -> str:
    """What a file is that could not be read as a checkpoint, in words, as far as can be told."""
    file.seek(0)
    start = file.read(99)
    others = [what for begin, what in _OTHERS.items() if start.startswith(begin)]
    with suppress(zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        with zipfile.ZipFile(file) as archive:
            inside = {PurePosixPath(name).name for name in archive.namelist()}
        if "constants.pkl" in inside:
            return "is a TorchScript program, not weights; save what its state_dict() returns"
        if "data.pkl" not in inside:
            return "is a zip archive, but not one that torch.save has written"
    if not start:
        return "is empty, so it is no checkpoint"
    if start[8:9] == b"{":
        return "is a safetensors file; let its name end in .safetensors"
    if others:
        return f"is not a whole checkpoint: it is {others[0]}"
    if not isinstance(error, pickle.UnpicklingError):
        return "is not a whole checkpoint: it is truncated or damaged"
    name = re.search(r"(?:GLOBAL|class|function) '?([\w.]+\.[\w.]+)", str(error))
    what = f"holds {name.group(1)}" if name else "is damaged, or holds something"
    return f"{what}, which is neither weights nor a plain value"


def _there(path: str | os.PathLike) -> Path:
    """The path of a file that is there, else refused."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a weights file" if path.is_dir() else "does not exist"
        raise TlbookError(f"There is no weights file {path}: it {what}.")
    return path


def _refuse_other_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that are no dense numbers, such as quantised ones; whole numbers may be counters."""
    for name, tensor in state.items():
        if name != name.encode(errors="replace").decode():
            raise TlbookError(f"{path} has a tensor whose name, {name!r}, is no text.")
        kinds = {
            "quantised": tensor.is_quantized,
            "nested": tensor.is_nested,
            "sparse": tensor.layout != torch.strided,
            "empty (of the device meta)": tensor.is_meta,
            f"{tensor.dtype}".removeprefix("torch."): tensor.dtype not in FLOATS
            and (tensor.is_floating_point() or tensor.is_complex()),
        }
        if found := [kind for kind, holds in kinds.items() if holds]:
            wanted = ", ".join(str(dtype).removeprefix("torch.") for dtype in FLOATS)
            raise TlbookError(f"{path} holds {name!r} as a tensor that is {found[0]}; weights are {wanted}.")


def sha256(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits."""
    path = Path(path)
    if not path.is_file():
        raise TlbookError(f"There is no file {path}.")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without the `module.` that the names of official checkpoints begin with, if all do."""
    prefix = "module."
    if all(name.startswith(prefix) for name in state):
        return {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return dict(state)


def redrawn(state: Mapping[str, Tensor], kind: str, seed: int | np.random.Generator) -> dict[str, Tensor]:
    """A state dict with the size of its weights and none of their structure, the same for the same seed.

    ``kind`` "mean_var" draws every tensor from a Gaussian with the mean and (population) variance of its
    values: the Mean Var init of Raghu et al. (2019, section 5), which they draw layer by layer. "permuted"
    permutes its values, which keeps their whole distribution. A tensor of one value, such as Fixup's biases
    and scales, has no variance and nothing to permute, and stays as it is. Another kind is refused.
    """
    if kind not in ("mean_var", "permuted"):
        raise TlbookError(f"Weights are redrawn as 'mean_var' or 'permuted', not as {kind!r}.")
    rng = np.random.default_rng(seed)
    drawn = {}
    for name in sorted(state):  # whatever order the state dict has
        values = state[name].detach().double().numpy()
        if kind == "permuted":
            values = rng.permutation(values.ravel()).reshape(values.shape)
        else:
            values = rng.normal(values.mean(), values.std(), values.shape)
        drawn[name] = torch.from_numpy(values).to(state[name].dtype)
    return {name: drawn[name] for name in state}


def start_from(model: Network, state: Mapping[str, Tensor], head: bool = False, network: str = "") -> Network:
    """Load into a freshly drawn model everything of ``state`` but its head; return the model.

    This is how fine-tuning starts in the official code: the head keeps what was drawn. With ``head``,
    it is loaded too. Any other difference in names or shapes, and values that are not finite, are refused
    before anything is changed; the sentence gives the model the name ``network``. The model keeps its own
    precision, device and memory format.
    """
    misfit = f"The weights do not fit the network {network}".rstrip()
    skipped = () if head else f"{model.head}."  # a name begins with none of ()
    given = {name: tensor for name, tensor in without_prefix(state).items() if not name.startswith(skipped)}
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(skipped)}
    _refuse_other_names(own, given, misfit)
    for name, tensor in given.items():
        if tensor.shape != own[name].shape:
            shapes = f"{tuple(tensor.shape)} and the network {tuple(own[name].shape)}"
            raise TlbookError(f"{misfit}: {name} has the shape {shapes}.")
        if own[name].is_floating_point() and tensor.dtype not in FLOATS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise TlbookError(f"The weights cannot be a start: {name} holds {kind}, not floating numbers.")
        if own[name].is_floating_point() and not tensor.isfinite().all():
            raise TlbookError(f"The weights cannot be a start: {name} has values that are no finite numbers.")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(given[name])
    return model


def _refuse_other_names(own: Mapping[str, Tensor], given: Mapping[str, Tensor], misfit: str) -> None:
    """One sentence that names the first few names that only one side has, if there are any."""
    problems = []
    for label, names in (("lack", own.keys() - given.keys()), ("have besides", given.keys() - own.keys())):
        if names:
            some = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            problems.append(f"they {label} {some}")
    if problems:
        raise TlbookError(f"{misfit}: {'; '.join(problems)}.")
