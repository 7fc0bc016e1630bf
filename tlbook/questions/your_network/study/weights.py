"""Weights of any network as files lie about: wrapped, prefixed, with a head of other classes."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tlbook import models, settings
from tlbook.errors import TlbookError
from tlbook.models import Network
from tlbook.questions.your_network.study.networks import Foreign
from tlbook.training import runs, weight_files
from tlbook.training.specs import File

COUNTERS = ("num_batches_tracked",)  # of batch norm; old files lack them
DEFAULT = "default"


def read(text: str, model: Network, network: str, whole: bool = False) -> tuple[dict[str, Tensor], list[str]]:
    """A state dict that a drawn network can start from, and what a reader should know, in sentences.

    ``text`` is a file (.safetensors, or what torch.save wrote: a state dict, also within dicts and under
    prefixes), or "default": the weights that torchvision or timm offer, which they download. Where the head
    does not fit, the drawn one stays, or it is refused (``whole``). Nothing in a file is run. Refused: a file
    of another network (what differs, how much matches), with tensors of other shapes in the body, or with
    values that are not finite.
    """
    if not text:
        raise TlbookError(
            f"weights: give a file of weights for {network}, or default for those that its library offers, "
            "which it downloads."
        )
    if text == DEFAULT:
        given, told = _default(network), f"the default of {network}"
    else:
        path = settings.absolute(text)
        given, told = _best(list(_dicts(_content(path))), model, path), path.name
    own = model.state_dict()
    head = [name for name in own if name.startswith(f"{model.head}.")]
    body = [name for name in own if name not in head and not name.endswith(COUNTERS)]
    _refuse_other(given, own, body, told, network)
    _refuse_odd(given, body, told)
    fits = all(name in given and given[name].shape == own[name].shape for name in head)
    if whole and not fits:
        there = given.get(f"{model.head}.weight")
        classes = f"{len(there)} classes" if there is not None and there.ndim else "no head"
        raise TlbookError(
            f"finetuned, scratch: {told} has {classes}, and the images have {len(own[head[0]])}."
        )
    taken = [name for name in own if name in given and (name not in head or fits)]
    notes = [] if fits else [f"The head of {told} does not fit, so it is drawn anew."]
    unused = sorted(set(given) - set(own))
    if unused:
        notes.append(f"{len(unused)} tensors of {told} are not used ({unused[0].removeprefix('net.')} …).")
    return own | {name: given[name].to(own[name].dtype) for name in taken}, notes


def keep(state: Mapping[str, Tensor]) -> File:
    """A state dict as a file that runs can start from, named by its content."""
    path = runs.own_files() / f"start-{id(state):x}.safetensors"
    models.save(state, path)
    try:
        return weight_files.register(path, runs.own_files())
    finally:
        path.unlink(missing_ok=True)


def _default(network: str) -> dict[str, Tensor]:
    source = Foreign.networks.get(network)
    if source is None or source.default is None:
        raise TlbookError(f"weights: {network} has no default; give a file of weights.")
    try:
        state = source.default()
    except Exception as error:  # no such weights, no connection, a broken download
        why = " ".join(str(error).split())[:120]
        raise TlbookError(
            f"weights: the default of {network} cannot be had ({why}); download it, and give the file."
        ) from error
    return {f"net.{name}": value for name, value in state.items()}


def _content(path: Path) -> Any:
    """What a file holds, read without running anything in it."""
    if path.suffix == ".safetensors":
        return models.load(path)
    if not path.is_file():
        raise TlbookError(f"weights: there is no file {path}.")
    plain = [argparse.Namespace, *models.weights._NUMPY_NUMBERS]
    try:
        with torch.serialization.safe_globals(plain), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file makes its readers raise whatever they stumble over
        models.load_official(path)  # says what the file is instead
        raise TlbookError(f"weights: {path} cannot be read ({type(error).__name__}).") from error


def _dicts(content: Any, deep: int = 3) -> Iterator[dict[str, Tensor]]:
    """The dicts of tensors in a file's content, and in dicts in it."""
    if hasattr(content, "items"):
        tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
        if tensors:
            yield tensors
        for inner in content.values() if deep else ():
            yield from _dicts(inner, deep - 1)


def _best(found: Sequence[dict[str, Tensor]], model: Network, path: Path) -> dict[str, Tensor]:
    """Of several dicts the one that matches most, under the network's own names; of equals the first."""
    if not found:
        raise TlbookError(f"weights: {path} holds no weights; save what the network's state_dict() returns.")
    own = model.state_dict()
    renamed = (_renamed(state, model) for state in found)
    return max(renamed, key=lambda state: len(own.keys() & state.keys()))


def _renamed(given: Mapping[str, Tensor], model: Network) -> dict[str, Tensor]:
    """A state dict under the network's own names: with the prefix put in place of the file's that matches
    the most of them (``module.``, ``model.``, ``backbone.``, whatever it is, or none)."""
    own = model.state_dict()
    bare = {name.removeprefix("net."): name for name in own}  # ours have no such prefix
    prefixes = {""}
    for name in given:
        prefixes |= {name.removesuffix(end) for end in list(bare)[:8] if name.endswith(f".{end}")}

    def under(prefix: str) -> dict[str, Tensor]:
        bodies = ((name.removeprefix(prefix), t) for name, t in given.items() if name.startswith(prefix))
        return {bare.get(name, name): tensor for name, tensor in bodies}

    return max(map(under, sorted(prefixes, key=len)), key=lambda state: len(state.keys() & own.keys()))


def _refuse_other(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], body: Sequence[str], told: str, network: str
) -> None:
    """Refuse weights that lack a part of the network's body, or have it in other shapes."""
    lacking = [name for name in body if name not in given]
    other = [name for name in body if name in given and given[name].shape != own[name].shape]
    if not lacking and not other:
        return
    share = 100 * (1 - (len(lacking) + len(other)) / len(body))
    what = f"it lacks {lacking[0].removeprefix('net.')}" if lacking else ""
    if other:
        shapes = f"{tuple(given[other[0]].shape)}, not {tuple(own[other[0]].shape)}"
        what = f"its {other[0].removeprefix('net.')} is {shapes}"
    more = len(lacking) + len(other) - 1
    what += f" (and {more} more differ)" if more else ""
    raise TlbookError(f"weights: {told} does not fit {network}: {what}; {share:.0f} % of its tensors match.")


def _refuse_odd(given: Mapping[str, Tensor], body: Sequence[str], told: str) -> None:
    for name in body:
        value = given[name]
        if value.is_complex() or value.is_quantized or value.layout != torch.strided or value.is_meta:
            raise TlbookError(f"weights: {told} holds {name} as something else than plain numbers.")
        if value.is_floating_point() and not value.isfinite().all():
            raise TlbookError(f"weights: {told} holds values in {name} that are no finite numbers.")
