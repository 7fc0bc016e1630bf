"""Networks and images in which nothing is zero or equal, so that a mistake cannot go unseen."""

import torch

from tlbook.models import build
from tlbook.models.fixup import Architecture, FixupResNet

BOTTLENECK = Architecture("bottleneck", (4, 8, 12, 16), (1, 2, 1, 1), "small")  # as a ResNet-50, but tiny


def filled(network, seed=0, classes=3):
    """A network of float64 weights, drawn from a seed; "bottleneck" is a small one of that kind."""
    generator = torch.Generator().manual_seed(seed)
    made = FixupResNet(BOTTLENECK, classes) if network == "bottleneck" else build(network, classes)
    model = made.double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            parameter.copy_(drawn * spread + (1 if name.endswith("scale") else 0))
    return model


def images(count=4, side=32):
    """Always the same ones."""
    generator = torch.Generator().manual_seed(9)
    return torch.randn(count, 3, side, side, generator=generator, dtype=torch.float64)
