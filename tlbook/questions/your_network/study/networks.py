"""Any network as a `Network` of the family `Foreign`: its head found, its modules in order, its input fitted.

A network is named ``torchvision:NAME``, ``timm:NAME``, ``fixup:NAME`` (ours), or ``file.py:function``, which
is called without arguments and returns a module that maps (n, channels, side, side) to (n, outputs). The
function may say with attributes ``mean`` and ``std`` (of each channel, on the scale 0 to 1) how its pixels
are normalised; ImageNet's are taken else.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from tlbook import settings
from tlbook.data.batches import IMAGENET
from tlbook.errors import TlbookError
from tlbook.models import Network, build, networks, sha256
from tlbook.models.family import average_batch_norm

MOST_MODULES = 24  # what is rewound, compared and drawn on its own; networks of more blocks are cut coarser
LARGE = 0.5  # a container with more than this share of the parameters is looked into
SIDES = (32, 64, 96, 128, 160, 192, 224, 256, 299, 320, 384, 448, 512)  # tried to say which side would do
HEADS = (nn.Linear, nn.Conv2d)


class Foreign(Network):
    """A network that somebody else wrote, under ``net``, with a last layer of ours.

    Images come normalised by ImageNet's mean and deviation, and are brought to what the network was trained
    with where that differs; three channels become one for a network of grey images. Dropout draws from a
    generator that is seeded by the head's weights as they are when an epoch begins, so that a run that was
    cut off goes on to the same weights.
    """

    networks: ClassVar[dict[str, Source]] = {}

    def __init__(self, source: Source, classes: int):
        super().__init__()
        self.net = _made(source)
        _refuse_complex(self.net, source.name)
        self.head = f"net.{source.head or head_of(self.net, source.name)}"
        self.set_submodule(self.head, _resized(self.get_submodule(self.head), classes))
        mean, std, given_mean, given_std = map(np.array, (*source.statistics, *IMAGENET_STATISTICS))
        factor, shift = given_std / std, (given_mean - mean) / std
        for name, values in {"factor": factor, "shift": shift}.items():
            tensor = torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)
            self.register_buffer(name, tensor, persistent=False)
        self.grey = channels(self.net) == 1
        self.other_input = source.statistics != IMAGENET_STATISTICS

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, 3, side, side), normalised by ImageNet's statistics, to logits (n, classes)."""
        if self.other_input:
            x = x * self.factor + self.shift
        return _logits(self.net(x.mean(1, keepdim=True) if self.grey else x))

    def train(self, mode: bool = True) -> Foreign:
        """As of any module; the seed of what is dropped comes with it."""
        super().train(mode)
        head = self.get_submodule(self.head).weight
        if mode and not head.is_meta:
            torch.manual_seed(zlib.crc32(head.detach().cpu().contiguous().numpy().tobytes()))
        return self

    @property
    def re_estimate(self) -> Callable[[Iterable], None] | None:
        """Averages batch norm's statistics anew, where there are any."""
        norms = (m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
        tracked = any(norm.track_running_stats for norm in norms)
        return functools.partial(average_batch_norm, self) if tracked else None

    def places(self) -> tuple[str, ...]:
        """Submodules from input to output, the head last: children, the large ones looked into."""
        return tuple(f"net.{name}" for name in cut(self.net, self.head.removeprefix("net.")))

    def members(self) -> dict[str, tuple[str, ...]]:
        """As `Network.members`; a parameter in none of them, such as a class token, is a module by itself."""
        places, found = self.places(), {}
        for name, _ in self.named_parameters():
            owner = next((place for place in places if name.startswith(f"{place}.")), name)
            found.setdefault(owner, []).append(name)
        return {owner: tuple(names) for owner, names in found.items()}


class Source:
    """Where a network comes from: how one is made, what its head is called, what its pixels looked like."""

    def __init__(
        self,
        name: str,  # a part of what identifies a run
        make: Callable[[], nn.Module],
        head: str = "",
        statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
        default: Callable[[], dict[str, Tensor]] | None = None,
    ):
        self.name = f"{name} with the head {head}" if head else name
        self.make, self.head, self.default = make, head, default
        self.statistics = statistics or IMAGENET_STATISTICS


def _made(source: Source) -> nn.Module:
    """A drawn network. Where only its shape is asked for (`tlbook.models.skeleton`) it is drawn all the same,
    and torch's generator is left as it was: not every network can be made without values."""
    if torch.get_default_device().type != "meta":
        return source.make()
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        return source.make()


IMAGENET_STATISTICS = tuple(tuple((value / 255).tolist()) for value in IMAGENET)


def register(name: str, head: str = "") -> str:
    """Make a network known under its name, so that runs can name it; returns the name in the registry.

    Refused: a kind or name that does not exist (near names are given), a package that is not installed, a
    function that is not there, or does not return a module.
    """
    kind, colon, rest = name.rpartition(":")
    if kind == "fixup":
        own = [network for network in networks() if network not in Foreign.networks]
        if rest not in own:
            raise TlbookError(f"network: there is no {name}; choose fixup: and one of {', '.join(own)}.")
        return rest
    if not colon or not rest:
        raise TlbookError(
            f"network: {name!r} is not one; write torchvision:resnet18, timm:NAME, fixup:NAME, or "
            "file.py:function."
        )
    source = {"torchvision": _of_torchvision, "timm": _of_timm}.get(kind, _of_file)(name, kind, rest, head)
    Foreign.networks[source.name] = source
    return source.name


def _of_torchvision(name: str, kind: str, rest: str, head: str) -> Source:
    from torchvision import models  # takes a second

    known = models.list_models(module=models)
    if rest not in known:
        raise TlbookError(f"network: torchvision has no {rest}{_near(rest, known)}.")

    def default() -> dict[str, Tensor]:
        return models.get_model_weights(rest).DEFAULT.get_state_dict(check_hash=True, weights_only=True)

    return Source(name, lambda: models.get_model(rest, weights=None), head, default=default)


def _of_timm(name: str, kind: str, rest: str, head: str) -> Source:
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise TlbookError("network: timm is not installed; pip install 'tlbook[timm]' brings it.") from error
    if not timm.is_model(rest):
        raise TlbookError(f"network: timm has no {rest}{_near(rest, timm.list_models())}.")
    known = timm.models.get_pretrained_cfg(rest)
    statistics = (tuple(known.mean), tuple(known.std)) if known else None
    head = head or (known.classifier if known and isinstance(known.classifier, str) else "")
    return Source(
        name,
        lambda: timm.create_model(rest, pretrained=False),
        head,
        statistics,
        lambda: timm.create_model(rest, pretrained=True).state_dict(),
    )


def _of_file(name: str, kind: str, rest: str, head: str) -> Source:
    path = settings.absolute(kind)
    if path.suffix != ".py" or not path.is_file():
        raise TlbookError(
            f"network: {name!r} names no kind that there is (torchvision:, timm:, fixup:) and no file; there "
            f"is no Python file {path}."
        )
    function = getattr(_module(path), rest, None)
    if not callable(function):
        raise TlbookError(f"network: {path} has no function {rest}.")

    def make() -> nn.Module:
        made = function()
        if not isinstance(made, nn.Module):
            raise TlbookError(f"network: {name} returned {type(made).__name__}, not a torch.nn.Module.")
        return made

    own = [getattr(function, which, None) for which in ("mean", "std")]
    statistics = tuple(map(tuple, own)) if all(own) else None
    return Source(f"{name} ({sha256(path)[:8]})", make, head, statistics)


def _module(path: Path):
    """A user's Python file, imported; what it raises is told in one sentence."""
    spec = importlib.util.spec_from_file_location(f"tlbook_network_{zlib.crc32(str(path).encode()):x}", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises
        raise TlbookError(f"network: {path} cannot be imported ({type(error).__name__}: {error}).") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return f"; near are {', '.join(near)}" if near else ""


# What a network is


def head_of(net: nn.Module, name: str = "network") -> str:
    """The name of a network's last layer: the last Linear or 1 x 1 convolution, behind everything else.

    One that does not end in such a layer, or in whose last layer others share, is refused: name it.
    """
    last = [found for found, module in net.named_modules() if isinstance(module, HEADS) and found]
    told = f"network: the last layer of {name} cannot be told; name it with head, such as head=fc"
    if not last:
        raise TlbookError(f"{told} (it has no linear layer and no convolution).")
    module = net.get_submodule(last[-1])
    if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
        raise TlbookError(f"{told} (its last layer with weights is the convolution {last[-1]}).")
    return last[-1]


def _resized(head: nn.Module, classes: int) -> nn.Module:
    """A fresh layer like a head, with as many outputs as there are classes."""
    bias = head.bias is not None if isinstance(head, HEADS) else True
    if isinstance(head, nn.Linear):
        return nn.Linear(head.in_features, classes, bias=bias)
    if isinstance(head, nn.Conv2d):
        return nn.Conv2d(head.in_channels, classes, head.kernel_size, bias=bias)
    raise TlbookError(f"network: the head must be a Linear or a Conv2d, not {type(head).__name__}.")


def channels(net: nn.Module) -> int:
    """How many channels a network's first convolution reads; 3 where it has none."""
    first = next((module for module in net.modules() if isinstance(module, nn.Conv2d)), None)
    return first.in_channels if first is not None else 3


def cut(net: nn.Module, head: str) -> list[str]:
    """The submodules with parameters of a network from input to output, at most `MOST_MODULES` if it allows.

    Its children; of those that hold more than half of the parameters, or the head, their children in turn;
    then the largest that can be opened, as long as there are not too many.
    """
    total = sum(parameter.numel() for parameter in net.parameters()) or 1
    places = [name for name, child in net.named_children() if _weight(child)]
    while True:
        for name in places:
            module = net.get_submodule(name)
            inner = [f"{name}.{child}" for child, m in module.named_children() if _weight(m)]
            must = head.startswith(f"{name}.") or _weight(module) > LARGE * total
            may = isinstance(module, nn.Sequential | nn.ModuleList) and _whole(module, inner, name)
            fits = len(places) + len(inner) - 1 <= MOST_MODULES
            if inner and name != head and (must or (may and fits and len(inner) > 1)):
                at = places.index(name)
                places[at : at + 1] = inner
                break
        else:
            return places


def _whole(module: nn.Module, inner: Sequence[str], name: str) -> bool:
    """Whether the children of a module hold all of its parameters."""
    return sum(_weight(module.get_submodule(i.removeprefix(f"{name}."))) for i in inner) == _weight(module)


def _weight(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _logits(output) -> Tensor:
    """What a network says, also where it returns more in training (torchvision's Inception)."""
    output = getattr(output, "logits", output)
    output = output[0] if isinstance(output, tuple | list) else output
    return output.flatten(1) if isinstance(output, Tensor) else output


def _refuse_complex(net: nn.Module, name: str) -> None:
    odd = [p for p, value in net.named_parameters() if not value.is_floating_point()]
    if odd:
        raise TlbookError(
            f"network: {name} holds {odd[0]} as complex or whole numbers, which is not studied."
        )
    if channels(net) not in (1, 3):
        raise TlbookError(
            f"network: {name} reads images of {channels(net)} channels; 3 (colour) or 1 (grey) are studied."
        )


def try_out(network: str, classes: int, side: int) -> list[str]:
    """Run a fresh network on made-up images, also backwards; what a reader should know of it, in sentences.

    Refused: a side that it cannot read (with the first that it can), an output that is not (n, classes), a
    head that is not the last layer.
    """
    model = drawn(network, classes)
    if (why := _trouble(model, classes, side)) is None:
        return _notes(model)
    fits = next((other for other in SIDES if other != side and _trouble(model, classes, other) is None), None)
    if fits is None:
        raise TlbookError(f"network: {network} cannot be run on images of {side} px ({why}).")
    raise TlbookError(f"side: {network} cannot read images of {side} px ({why}); it can those of {fits} px.")


def drawn(network: str, classes: int) -> Network:
    """A fresh network, always the same; refused, in a sentence, where it cannot be made."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return build(network, classes)
        except TlbookError:
            raise
        except Exception as error:  # whatever a user's function raises
            raise TlbookError(f"network: {network} cannot be made ({_line(error)}).") from error


def _trouble(model: Network, classes: int, side: int) -> str | None:
    """Why a network cannot be trained on images of a side, None if it can."""
    images = torch.zeros(2, 3, side, side)
    try:
        with torch.random.fork_rng(devices=[]):
            for mode in (False, True):
                logits = model.train(mode)(images)
                if not isinstance(logits, Tensor) or logits.shape != (2, classes):
                    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                    return f"its output for 2 images of {classes} classes is {shape}"
            logits.sum().backward()
    except Exception as error:  # as many as there are layers
        return _line(error)
    finally:
        model.eval()
        model.zero_grad()
    head = next(model.get_submodule(model.head).parameters())
    return None if head.requires_grad else "its head is frozen"


def _notes(model: Network) -> list[str]:
    frozen = [name for name, value in model.named_parameters() if not value.requires_grad]
    shared = len(list(model.named_parameters(remove_duplicate=False))) - len(list(model.named_parameters()))
    drops = [
        m for m in model.modules() if "Drop" in type(m).__name__ or "StochasticDepth" in type(m).__name__
    ]
    notes = []
    if getattr(model, "grey", False):
        notes.append("The network reads grey images: the three channels are averaged into one.")
    if frozen:
        notes.append(
            f"{len(frozen)} of its parameters ({frozen[0].removeprefix('net.')} …) are frozen by the network "
            "itself, so both starts keep what they have there."
        )
    if shared:
        notes.append(f"{shared} of its parameters are others by a second name, and count once.")
    if getattr(model, "re_estimate", None):
        notes.append(
            "It has batch norm: wherever weights are averaged or moved, its statistics are estimated anew on "
            "the training images."
        )
    if any(getattr(drop, "p", 0) for drop in drops):
        notes.append("It drops units while it trains, and none where it is measured.")
    return notes


def _line(error: Exception) -> str:
    """An error's first line, short."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else f"{text[:117]}…"
