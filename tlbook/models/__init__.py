"""Families of networks, one a file of this folder; weights on disk and arithmetic on them."""

import importlib
import pkgutil

from tlbook.models.family import Network, build, classes, learned, networks, outside, skeleton
from tlbook.models.weights import (
    OFFICIAL,
    load,
    load_official,
    redrawn,
    save,
    sha256,
    start_from,
    without_prefix,
)

__all__ = [
    "OFFICIAL",
    "Network",
    "build",
    "classes",
    "learned",
    "load",
    "load_official",
    "networks",
    "outside",
    "redrawn",
    "save",
    "sha256",
    "skeleton",
    "start_from",
    "without_prefix",
]

for _file in pkgutil.iter_modules(__path__):  # a family is known once its file is imported
    importlib.import_module(f"{__name__}.{_file.name}")
