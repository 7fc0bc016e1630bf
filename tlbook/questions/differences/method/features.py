"""What the modules of a network put out on given images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tlbook.errors import TlbookError


@contextmanager
def _hooked(model: nn.Module, modules: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """What each module put out in the latest forward pass; the hooks are gone afterwards, come what may."""
    own, latest = dict(model.named_modules()), {}
    unknown = [name for name in modules if name not in own or not name]
    if unknown:
        children = [name for name, _ in model.named_children()]
        raise TlbookError(f"The network has no module {unknown[0]!r}; it has {', '.join(children)}.")

    def keep(name: str):
        def hook(module, given, output):
            latest[name] = output.detach()

        return hook

    handles = [own[name].register_forward_hook(keep(name)) for name in modules]
    try:
        yield latest
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def outputs(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], modules: Sequence[str]
) -> dict[str, Tensor]:
    """Outputs of the modules on all images, float32 (n, c, h, w) or (n, c), in one pass, where the model is.

    No gradient is kept, no hook stays, the model's mode is left as it is. Refused: an unknown module, and no
    images at all.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in modules}
    with _hooked(model, modules) as latest:
        for images, _ in batches:
            model(images)
            for name in modules:
                parts[name].append(latest[name].float().contiguous())
            latest.clear()
    if not all(parts.values()) or not modules:
        raise TlbookError("There are no images to compare features on.")
    return {name: torch.cat(found) for name, found in parts.items()}


def rows(features: Tensor, count: int, seed: int = 0) -> Tensor:
    """At most ``count`` positions of feature maps (n, c, h, w) as rows (rows, c), drawn by ``seed``.

    The same positions for every model whose maps have this shape. Features (n, c) are rows already.
    """
    if features.ndim == 2:
        return features[:count]
    flat = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    if len(flat) <= count:
        return flat
    generator = torch.Generator().manual_seed(seed)
    return flat[torch.randperm(len(flat), generator=generator)[:count].to(flat.device)]
