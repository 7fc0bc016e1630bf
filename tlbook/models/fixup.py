"""Fixup ResNets: residual networks without normalisation layers.

The architecture, its parameter names and its initialisation follow the network that the paper used (the
official repository google-research/understanding-transfer-learning; Fixup: Zhang, Dauphin & Ma 2019), so that
official checkpoints load unchanged. Without normalisation layers a network has no running statistics, and
its weights can be interpolated and rewound freely (paper, Figures 4 to 6).

Images are (n, 3, side, side) floating-point tensors, logits (n, classes). `channels_last` input and weights
are faster on a CPU; nothing here depends on the memory format. Forward hooks work on
`conv1`, the stages, the blocks and `fc`, not on the convolutions inside a block, which are never called: only
their weights are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tlbook.models.family import Network, Rescaling, Step


@dataclass(frozen=True)
class Architecture:
    """What distinguishes one network from another, besides its number of classes.

    block: "basic" (two 3x3 convolutions) or "bottleneck" (1x1, 3x3, 1x1; four times as wide at its end).
    widths: channels of each stage (of its 3x3 convolutions), the stem has the first one's; multiples of 8,
    since with others torch 2's channels_last convolutions on a CPU corrupt memory in training.
    blocks: number of blocks in each stage. The first stage has stride 1, the others 2.
    stem: "large" (7x7 of stride 2, 3x3 max pooling of stride 2) or "small" (3x3 of stride 2, no pooling).
    """

    block: str
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    stem: str


_BLOCKS = {"basic": ((3, 3), 1), "bottleneck": ((1, 3, 1), 4)}  # kernels, and how wider the end is
_OFFICIAL_WIDTHS = (64, 128, 256, 512)

NETWORKS: dict[str, Architecture] = {
    "fixup_resnet18": Architecture("basic", _OFFICIAL_WIDTHS, (2, 2, 2, 2), "large"),
    "fixup_resnet34": Architecture("basic", _OFFICIAL_WIDTHS, (3, 4, 6, 3), "large"),
    "fixup_resnet50": Architecture("bottleneck", _OFFICIAL_WIDTHS, (3, 4, 6, 3), "large"),
    "fixup_resnet50_small": Architecture("bottleneck", (32, 64, 128, 256), (3, 4, 6, 3), "small"),
    "fixup_small8": Architecture("basic", (8, 16, 32, 64), (1, 1, 1, 1), "small"),
    "fixup_small24": Architecture("basic", (24, 48, 96, 192), (1, 1, 1, 1), "small"),
}


def _scalar(value: float) -> nn.Parameter:
    """A learned scalar of shape (1,): Fixup's biases start at 0, its scales at 1."""
    return nn.Parameter(torch.full((1,), value))


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the side at stride 1 and halves it (rounded up) at stride 2."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def _add(x: Tensor, bias: Tensor) -> Tensor:
    """x + bias in x's precision: under autocast the sum of bfloat16 and float32 would become float32."""
    return x + bias.to(x.dtype)


def _conv_bias(x: Tensor, conv: nn.Conv2d, bias: Tensor, scale: Tensor | None = None) -> Tensor:
    """conv(x) * scale + bias for scalars of shape (1,), without two more passes over the activations."""
    weight = conv.weight if scale is None else conv.weight * scale
    return F.conv2d(x, weight, bias.expand(conv.out_channels), conv.stride, conv.padding)


class Block(nn.Module):
    """Convolutions `conv1`, `conv2`, … beside a shortcut; a new stride or width passes the shortcut through a
    bare 1x1 convolution. The first 3x3 convolution has the stride. Names are the official ones.
    """

    def __init__(self, inputs: int, width: int, outputs: int, kernels: Sequence[int], stride: int):
        super().__init__()
        same = stride == 1 and inputs == outputs
        downsample = None if same else _conv(inputs, outputs, 1, stride)  # drawn first, as officially
        self.convolutions = len(kernels)
        strides = [stride if k == kernels.index(3) else 1 for k in range(len(kernels))]
        channels = [inputs, *[width] * (len(kernels) - 1), outputs]
        for k, kernel in enumerate(kernels, 1):
            setattr(self, f"bias{k}a", _scalar(0.0))
            setattr(self, f"conv{k}", _conv(channels[k - 1], channels[k], kernel, strides[k - 1]))
            if k == len(kernels):
                self.scale = _scalar(1.0)
            setattr(self, f"bias{k}b", _scalar(0.0))
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        out = biased = _add(x, self.bias1a)
        for k in range(1, self.convolutions + 1):
            conv, bias = getattr(self, f"conv{k}"), getattr(self, f"bias{k}b")
            if k > 1:
                out = _add(out.relu_(), getattr(self, f"bias{k}a"))
            out = _conv_bias(out, conv, bias, self.scale if k == self.convolutions else None)
        shortcut = x if self.downsample is None else self.downsample(biased)
        return (out + shortcut).relu_()

    def initialise(self, blocks: int) -> None:
        """Fixup's draw for a block of m convolutions in a network of so many blocks: all but the last by He,
        times blocks^(-1 / (2m - 2)); the last is 0, so that a fresh block passes its shortcut on."""
        *first, last = (getattr(self, f"conv{k}") for k in range(1, self.convolutions + 1))
        for conv in first:
            _normal(conv, blocks ** (-1 / (2 * self.convolutions - 2)))
        nn.init.zeros_(last.weight)
        if self.downsample is not None:
            _normal(self.downsample)


def _normal(conv: nn.Conv2d, factor: float = 1.0) -> None:
    """N(0, sqrt(2 / (outputs k^2)) * factor): He's initialisation by fan-out, scaled down."""
    outputs, _, *kernel = conv.weight.shape
    nn.init.normal_(conv.weight, 0.0, sqrt(2 / (outputs * prod(kernel))) * factor)


class FixupResNet(Network):
    """A Fixup ResNet. Its modules are the stem's `conv1`, each residual block `layerX.Y`, and `fc`.

    The scalars `bias1` and `bias2` stand between modules and belong to none. Without statistics, nothing is
    to be re-estimated.

    The stem's `conv1` and `fc` keep PyTorch's default initialisation, as in the official code (the paper's
    text does not say); the rest is Fixup's. All is drawn from torch's global generator in the official order.
    """

    networks = NETWORKS

    def __init__(self, architecture: Architecture, classes: int):
        super().__init__()
        self.architecture = architecture
        self.classes = classes
        width = architecture.widths[0]
        large = architecture.stem == "large"
        self.conv1 = _conv(3, width, 7 if large else 3, stride=2)
        self.bias1 = _scalar(0.0)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity()
        kernels, expansion = _BLOCKS[architecture.block]
        stages = zip(architecture.widths, architecture.blocks, strict=True)
        for number, (inner, blocks) in enumerate(stages, 1):
            inputs, width = width, inner * expansion
            stage = [Block(inputs, inner, width, kernels, stride=1 if number == 1 else 2)]
            stage += [Block(width, inner, width, kernels, stride=1) for _ in range(blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*stage))
        self.bias2 = _scalar(0.0)
        self.fc = nn.Linear(width, classes)
        for block in self.blocks().values():
            block.initialise(sum(architecture.blocks))

    def blocks(self) -> dict[str, nn.Module]:
        """The residual blocks by name, "layer1.0" and so on, from the input to the output."""
        return {name: m for name, m in self.named_modules() if isinstance(m, Block)}

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, 3, side, side), normalised, to logits (n, classes)."""
        x = self._stem(x)
        for number in range(1, len(self.architecture.widths) + 1):
            x = getattr(self, f"layer{number}")(x)
        return self._top(x)

    def _stem(self, x: Tensor) -> Tensor:
        return self.maxpool(_add(self.conv1(x), self.bias1).relu_())

    def _top(self, x: Tensor) -> Tensor:
        return self.fc(_add(x.mean((2, 3)), self.bias2))

    def steps(self) -> dict[str, Step]:
        """``bias1`` stands in the step of conv1, with ReLU and pooling; ``bias2`` in that of fc, with average
        pooling."""
        return {"conv1": self._stem} | self.blocks() | {"fc": self._top}

    def places(self) -> tuple[str, ...]:
        """conv1, each block, whole stages, fc. A stage's output is its last block's, so that block stands
        under the stage's name only."""
        stages = enumerate(self.architecture.blocks, 1)
        inside = [[*(f"layer{s}.{i}" for i in range(count - 1)), f"layer{s}"] for s, count in stages]
        return ("conv1", *(name for stage in inside for name in stage), "fc")

    def parameter_groups(self, rate: float, weight_decay: float, momentum: float) -> list[dict]:
        """The official optimiser's: biases, scales, the rest, in this order.

        Names with `bias` (`fc.bias` too) or `scale` train at a tenth of ``rate``; weight decay is on all.
        """
        groups: dict[str, list[nn.Parameter]] = {"bias": [], "scale": [], "rest": []}
        for name, parameter in self.named_parameters():
            kind = "bias" if "bias" in name else "scale" if "scale" in name else "rest"
            groups[kind].append(parameter)
        rates = {"bias": rate / 10, "scale": rate / 10, "rest": rate}
        return [
            {"params": parameters, "lr": rates[kind], "weight_decay": weight_decay, "momentum": momentum}
            for kind, parameters in groups.items()
        ]

    def symmetry(self) -> dict[str, tuple[str | None, str | None]]:
        """Weight -> (group of its outputs, group of its inputs); None is pixels and classes.

        "stream1" and so on are the units of the residual stream (the stages share one as long as no
        downsampling convolution stands between them), "layer1.0.inner1" those inside a block. Biases and
        scales are one number for all units, so only weights take part.
        """
        stream, table = "stream0", {"conv1.weight": ("stream0", None)}
        for name, block in self.blocks().items():
            before = stream
            if block.downsample is not None:
                stream = f"stream{name.removeprefix('layer').split('.')[0]}"
                table[f"{name}.downsample.weight"] = (stream, before)
            inner = [f"{name}.inner{k}" for k in range(1, block.convolutions)]
            units = [before, *inner, stream]
            for k, (read, written) in enumerate(zip(units[:-1], units[1:], strict=True), 1):
                table[f"{name}.conv{k}.weight"] = (written, read)
        return table | {"fc.weight": (None, stream)}

    def rescalings(self) -> dict[str, Rescaling]:
        """Of each block, the first convolution and the biases up to the second one grow, the second shrinks:
        ReLU lets positive factors through (Dinh et al. 2017)."""
        up = ("conv1.weight", "bias1b", "bias2a")
        return {
            block: (tuple(f"{block}.{name}" for name in up), (f"{block}.conv2.weight",))
            for block in self.blocks()
        }
