"""CKA of all modules for all pairs of models: ours against two packages, on the same features, in one run.

    pip install --target elsewhere --no-deps pytorch-cka==1.1.3 torch_cka==0.21
    python benchmarks/similarity.py --packages elsewhere [--quick]

Six networks of scale `laptop` with random weights see the same made-up images; what their modules put out is
stored, and every contender starts from it. Compared is debiased CKA, which all of them give. pytorch-cka is
used in three ways: pair by pair through `compute_cka` (as its documentation does), once on all layers of all
models (`cka_from_features`), and through its `hsic_cross` on Gram matrices made once, which is the fastest
that can be had from its parts.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from pairs import RATIOS, faster, in_turns
from torch import nn

from tlbook.models import build
from tlbook.questions.differences.method import features, similarity

NETWORK, CLASSES, SIDE, BATCH = "fixup_small24", 7, 32, 250


def stored(models: int, images: int) -> list[dict[str, torch.Tensor]]:
    """For each model, its modules' outputs flattened, float32 (images, features)."""
    torch.manual_seed(0)
    batches = [(part, None) for part in torch.randn(images, 3, SIDE, SIDE).split(BATCH)]
    found = []
    for _ in range(models):
        model = build(NETWORK, CLASSES).eval()
        # Fixup's last convolution starts at 0, which leaves blocks idle
        for block in model.blocks().values():
            nn.init.normal_(block.conv2.weight, std=0.05)
        shown = features.outputs(model, batches, model.places())
        found.append({name: out.flatten(1).contiguous() for name, out in shown.items()})
    return found


class Replay(nn.Module):
    """A network whose modules put out what was stored, for packages that want a model."""

    def __init__(self, shown: dict[str, torch.Tensor]):
        super().__init__()
        self.shown = shown
        for name in shown:
            self.add_module(name, nn.Identity())

    def forward(self, x):
        for name, out in self.shown.items():
            getattr(self, name)(out)
        return x


class OneBatch(list):
    """A loader of one batch that says what it is, as torch_cka asks."""

    dataset = "stored features"


def ours(all_shown) -> np.ndarray:
    names = [(model, name) for model, shown in enumerate(all_shown) for name in shown]
    chunk = similarity.Chunk(names, len(next(iter(all_shown[0].values()))), neighbours=0)
    for model, shown in enumerate(all_shown):
        for name, out in shown.items():
            chunk.put((model, name), out)
    return similarity.compare([chunk])["cka_debiased"]


def in_blocks(all_shown, pair: Callable) -> np.ndarray:
    """A contender that compares two models at a time, as one matrix; NaN within a model."""
    layers = len(all_shown[0])
    found = np.full((layers * len(all_shown),) * 2, np.nan)
    for a, b in itertools.combinations(range(len(all_shown)), 2):
        block = pair(all_shown[a], all_shown[b])
        found[a * layers : (a + 1) * layers, b * layers : (b + 1) * layers] = block
    return found


def pytorch_cka_by_pairs(all_shown) -> np.ndarray:
    from cka import compute_cka

    def pair(one, other):
        loader = [(torch.zeros(len(one["fc"]), 1),)]
        return compute_cka(
            Replay(one), Replay(other), loader, layers=list(one), device="cpu", progress=False
        )[0]

    return in_blocks(all_shown, pair)


def pytorch_cka_at_once(all_shown) -> np.ndarray:
    from cka import cka_from_features

    everything = [out for shown in all_shown for out in shown.values()]
    return cka_from_features(everything, everything).numpy()


def pytorch_cka_parts(all_shown) -> np.ndarray:
    from cka.hsic import hsic_cross

    grams = torch.stack([out @ out.T for shown in all_shown for out in shown.values()])
    values = hsic_cross(grams, grams)
    own = values.diagonal().sqrt()
    return (values / torch.outer(own, own)).numpy()


def torch_cka_by_pairs(all_shown) -> np.ndarray:
    from torch_cka import CKA

    def pair(one, other):
        compared = CKA(Replay(one), Replay(other), "one", "other", list(one), list(other))
        compared.compare(OneBatch([(torch.zeros(len(one["fc"]), 1),)]))
        return compared.export()["CKA"]

    return in_blocks(all_shown, pair)


CONTENDERS = {
    "ours": ours,
    "pytorch-cka, pair by pair": pytorch_cka_by_pairs,
    "pytorch-cka, all at once": pytorch_cka_at_once,
    "pytorch-cka, its parts": pytorch_cka_parts,
    "torch_cka, pair by pair": torch_cka_by_pairs,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--packages", default="", help="folder that the packages were installed into")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], help="contenders to leave out, such as torch_cka")
    parser.add_argument("--quick", action="store_true", help="300 images, once")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds, for a busy machine")
    given = parser.parse_args()
    clock = time.process_time if given.cpu else time.perf_counter
    sys.path.insert(0, given.packages) if given.packages else None
    images, rounds = (300, 1) if given.quick else (given.images, given.rounds)
    all_shown = stored(given.models, images)
    chosen = {n: f for n, f in CONTENDERS.items() if not any(n.startswith(w) for w in given.without)}
    results = {}

    def keep(name: str) -> None:
        results[name] = chosen[name](all_shown)

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        seconds = in_turns({name: partial(keep, name) for name in chosen}, rounds, clock)
    widths = {name: out.shape[1] for name, out in all_shown[0].items()}
    print(f"{given.models} models, {images} images, features {widths}, {torch.get_num_threads()} thread(s)")
    print(f"faster: {RATIOS}\n{'contender':28} {'seconds':>9} {'apart by':>9}   ours is faster")
    for name, theirs in seconds.items():
        apart = np.nanmax(np.abs(results[name] - results["ours"]))
        ratio = faster(seconds["ours"], theirs)
        print(f"{name:28} {statistics.median(theirs):9.2f} {apart:9.0e}   {ratio}")


if __name__ == "__main__":
    main()
