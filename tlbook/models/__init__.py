"""Fixup ResNets, the names of their modules, and their weights on disk."""

from tlbook.models.fixup import NETWORKS, Architecture, FixupResNet, architecture, build, parameter_groups
from tlbook.models.modules import module_of, names, parameters_of
from tlbook.models.weights import OFFICIAL, load, load_official, save, sha256, start_from

__all__ = [
    "NETWORKS",
    "OFFICIAL",
    "Architecture",
    "FixupResNet",
    "architecture",
    "build",
    "load",
    "load_official",
    "module_of",
    "names",
    "parameter_groups",
    "parameters_of",
    "save",
    "sha256",
    "start_from",
]
