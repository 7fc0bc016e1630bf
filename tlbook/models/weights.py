"""Weights on disk, and starting a network from another's weights.

We write and read safetensors. The one other format is torch's own, of the official code's checkpoints and of
bare state dicts, which `load_official` reads without running what a pickle could run.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from tlbook.errors import TlbookError, at
from tlbook.models.family import Network

OFFICIAL = (".pth.tar", ".pth", ".pt")  # endings of the official code's checkpoints, ckpt-E090.pth.tar

# What a CheXpert checkpoint holds besides tensors: its best AUC as a NumPy number, under either of two names.
_SCALAR = np._core.multiarray.scalar
_NUMPY_FLOAT = [(_SCALAR, "numpy.core.multiarray.scalar"), _SCALAR, np.dtype, np.dtypes.Float64DType]


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
    path = Path(path)
    if not path.is_file():
        raise TlbookError(f"There is no weights file {path}.")
    content = path.read_bytes()
    try:
        return dict(sorted(safetensors.torch.load(content).items()))
    except (SafetensorError, ValueError, KeyError) as error:
        # Looked at only now: a whole safetensors file may begin with the same bytes (its header's length).
        pickle = content.startswith((b"PK\x03\x04", b"\x80"))
        kind = "a pickle, and these are never read" if pickle else "truncated, damaged or another format"
        raise TlbookError(f"{path} is not a whole safetensors file: it is {kind}.") from error


def load_official(path: str | os.PathLike) -> dict[str, Tensor]:
    """The state dict of a checkpoint of the official code, or a bare one, on the CPU, without ``module.``.

    Read by torch's restricted unpickler (``weights_only``), which knows tensors and plain values; a NumPy
    number is allowed besides, since CheXpert's checkpoints hold one. A file with anything else in it, or
    that neither has a ``state_dict`` of tensors nor is one, is refused by name and nothing in it is run.
    """
    path = Path(path)
    if not path.is_file():
        raise TlbookError(f"There is no weights file {path}.")
    try:
        with torch.serialization.safe_globals(_NUMPY_FLOAT):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        name = re.search(r"(?:GLOBAL|class|function) ([\w.]+\.[\w.]+)", str(error))
        what = f"holds {name.group(1)}" if name else "is damaged, or holds something"
        raise TlbookError(f"{path} {what}, which is neither weights nor a plain value.") from error
    except Exception as error:  # a broken file makes its readers raise whatever they stumble over
        raise TlbookError(f"{path} is not a whole checkpoint: it is truncated or damaged.") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = isinstance(state, dict) and state and all(isinstance(value, Tensor) for value in state.values())
    if not tensors or not all(isinstance(name, str) for name in state):
        instead = "save what the network's state_dict() returns, with torch.save or as .safetensors"
        raise TlbookError(f"{path} has no state_dict of tensors, and is none itself; {instead}.")
    return without_prefix(state)


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
        if own[name].is_floating_point() and not (tensor.is_floating_point() and tensor.isfinite().all()):
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
