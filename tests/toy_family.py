"""A family of networks in one file outside the package: importing it makes its networks known."""

import torch.nn as nn

from tlbook.models.family import Network, average_batch_norm


class Toy(Network):
    """Two convolutions with batch norm, of so many channels, and a head called classifier."""

    networks = {"toy": (8, 16), "toy_wide": (16, 32)}
    head = "classifier"
    re_estimate = average_batch_norm

    def __init__(self, widths, classes):
        super().__init__()
        first, second = widths
        self.stem = nn.Sequential(nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(first, second, 3, 2, 1), nn.BatchNorm2d(second), nn.ReLU())
        self.classifier = nn.Linear(second, classes)

    def forward(self, x):
        for step in self.steps().values():
            x = step(x)
        return x

    def steps(self):
        top = lambda x: self.classifier(x.mean((2, 3)))  # noqa: E731
        return {"stem": self.stem, "middle": self.middle, "classifier": top}
