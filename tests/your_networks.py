"""Small networks of other people's kinds, as a reader's own file would build them."""

import torch
from torch import nn
from torchvision.models import ResNet, VisionTransformer
from torchvision.models.resnet import BasicBlock


def resnet():
    """A ResNet with batch norm, of four blocks."""
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7)


def transformer():
    """A vision transformer of two blocks that reads 32 px only."""
    return VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=24, num_classes=7
    )


def small():
    """Two convolutions with batch norm, and dropout before the head."""
    first = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    second = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    top = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8, 7))
    return nn.Sequential(first, second, top)


def halved():
    """One that was trained on pixels from -1 to 1."""
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 7))


halved.mean, halved.std = (0.5, 0.5, 0.5), (0.5, 0.25, 0.5)


def grey():
    """One that reads one channel, with a convolution as its head."""
    body = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU())
    return nn.Sequential(body, nn.Conv2d(4, 7, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Odd(nn.Module):
    """A first layer that does not train, a layer under two names, a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, 2, 1).requires_grad_(False)
        self.second = nn.Conv2d(6, 6, 3, 1, 1)
        self.again = self.second
        self.token = nn.Parameter(torch.ones(6))
        self.fc = nn.Linear(6, 7)

    def forward(self, x):
        x = self.again(self.second(self.first(x)).relu())
        return self.fc(x.mean((2, 3)) * self.token)


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.phase = nn.Parameter(torch.ones(3, dtype=torch.complex64))
        self.fc = nn.Linear(3, 7)

    def forward(self, x):
        return self.fc((x.mean((2, 3)) * self.phase).real)


def five_channels():
    return nn.Sequential(nn.Conv2d(5, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7))


def no_head():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def nothing():
    return 3


def broken():
    raise ValueError("no such thing")
