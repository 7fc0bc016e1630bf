"""A run on a GPU: its whole step as one CUDA graph, replayed over buffers that stay in place.

A step of a small network is hundreds of kernels of a few microseconds, and launching each of them from Python
takes longer than it runs. Here images stay on the GPU, an epoch's draws come at once from NumPy, and the step
(augmentation, mixup, forward, backward, SGD) is recorded once and launched as a whole. Nothing waits for the
GPU but a metric that is read, and meanwhile other runs go on.
Source: https://docs.pytorch.org/docs/2.11/notes/cuda.html#cuda-graphs.
"""

from __future__ import annotations

import dataclasses
import gc
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tlbook import metrics
from tlbook.data import Domain, Examples, augment, batches, shuffles
from tlbook.training import loop
from tlbook.training.loop import State
from tlbook.training.specs import RunSpec

ROOM = 1 / 4  # of a GPU's memory that is to be free before a call is recorded
WARM = 2  # calls before one is recorded: they choose algorithms and make buffers that stay


class Replayed(loop.Direct):
    """`loop.Direct` for a GPU and images that fit on it: the same draws, the same steps."""

    def __init__(self, spec: RunSpec, domain: Domain, state: State, device: str):
        super().__init__(spec, domain, state, device)
        mean, std = self.view.mean.to(device), self.view.std.to(device)
        self.view = dataclasses.replace(self.view, mean=mean, std=std)
        self.splits = {
            split: Examples(part.labels.to(device), (), (), part.images.to(device))
            for split in domain.splits
            if len(part := getattr(domain, split))
        }
        # Graphs read it where it lies, so it must outlive its place among those that were used last.
        self.permutation = shuffles.index(spec.shuffle, 3, spec.side, mean.device)
        self.along = torch.arange(spec.batch, device=device)
        self.begun = torch.zeros((), dtype=torch.int64, device=device)  # images of this epoch so far
        self.drawn: dict[str, Tensor] = {}
        self.calls: defaultdict[str | int, Repeated] = defaultdict(Repeated)
        for group in state.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], device=device)

    def epoch(self, rng: np.random.Generator) -> Iterator[None]:
        """The updates of an epoch whose numbers come from ``rng``, a pause after each."""
        count = len(self.splits["train"])
        for name, values in draws(self.spec, count, rng).items():
            self._upload(name, torch.from_numpy(values))
        self.begun.zero_()
        for start in range(0, count, self.spec.batch):
            size = min(self.spec.batch, count - start)
            self.calls[size](partial(self._step, size))
            yield

    def outputs(self, split: str) -> Generator[None, None, tuple[Tensor, Tensor]]:
        """Logits and labels of a split, on the CPU; with pauses while they are waited for."""
        logits = self.calls[split](partial(self._outputs, self.splits[split]))
        return (yield from fetched(logits)), getattr(self.domain, split).labels

    def _upload(self, name: str, values: Tensor) -> None:
        if name not in self.drawn:
            self.drawn[name] = values.to(self.device)
        else:
            pinned = values.pin_memory() if self.begun.is_cuda else values
            self.drawn[name].copy_(pinned, non_blocking=True)

    def _step(self, size: int) -> None:
        """One update on the epoch's next images."""
        places = self.begun + self.along[:size]
        drawn = {name: values[places] for name, values in self.drawn.items()}
        examples = self.splits["train"]
        mixed = (drawn.pop("partner"), drawn.pop("share")[0]) if self.spec.mixup else ()
        order = drawn.pop("order")
        augmented = augment.apply(
            self.spec.augmentation,
            examples.images[order].float(),
            self.view.side,
            self.view.mean,
            tuple(drawn.values()),
        )
        loop.update(self.spec, self.state, self.view.finish(augmented), examples.labels[order], *mixed)
        self.begun += size

    def _outputs(self, examples: Examples) -> Tensor:
        images = batches.evaluation(examples, self.view, self.device)
        return metrics.outputs(self.state.model, images, self.spec.precision)[0]


def draws(
    spec: RunSpec, count: int, rng: np.random.Generator, from_files: bool = False
) -> dict[str, np.ndarray]:
    """What an epoch on ``count`` images draws, in the order in which `batches.training` and `loop.step` draw
    it: arrays whose first axis is the images as they come ("order"). Images that are augmented while they are
    read ``from_files`` have "seeds" instead of views."""
    drawn = {"order": rng.permutation(count)}
    if from_files:
        drawn["seeds"] = batches.seeds(count, rng)
    views, partners, shares = [], [], []
    together = batches.chunk(spec.batch)
    for start in range(0, count, together):
        left = min(together, count - start)
        if not from_files:
            views.append(augment.draw(spec.augmentation, left, spec.side, rng))
        for begun in range(0, left if spec.mixup else 0, spec.batch):
            partner, share = loop.mixing(min(spec.batch, left - begun), spec.mixup, rng)
            partners.append(partner)
            shares.append(np.full(len(partner), share, np.float32))
    mixed = {"partner": np.concatenate(partners), "share": np.concatenate(shares)} if spec.mixup else {}
    views = {f"view {k}": np.concatenate(part) for k, part in enumerate(zip(*views, strict=True))}
    return drawn | mixed | views


class Repeated:
    """A call that comes again and again: made as it is at first, recorded and replayed from then on."""

    def __init__(self):
        self.made, self.replay = 0, None

    def __call__(self, call: Callable[[], Tensor | None]) -> Tensor | None:
        """What the call returns; replayed, the same tensor with other values."""
        if self.made == WARM:
            self.replay = recorded(call)
        self.made += 1
        return (self.replay or call)()


def recorded(call: Callable[[], Tensor | None]) -> Callable[[], Tensor | None]:
    """A call as a CUDA graph, recorded on the current stream, which is not the default one."""
    free, whole = torch.cuda.mem_get_info()
    if free < ROOM * whole:  # what graphs of ended runs took can be given back now, not while recording
        gc.collect()
        torch.cuda.empty_cache()
    graph = torch.cuda.CUDAGraph()
    # Not `torch.cuda.graph`: it first waits for all that runs on the GPU, where other runs are training.
    graph.capture_begin(capture_error_mode="thread_local")
    try:
        result = call()
    finally:
        graph.capture_end()

    def replay() -> Tensor | None:
        graph.replay()
        return result

    return replay


def fetched(values: Tensor) -> Generator[None, None, Tensor]:
    """A copy on the CPU, with pauses until it is there."""
    if not values.is_cuda:
        return values.clone()
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    copy.copy_(values, non_blocking=True)
    there = torch.cuda.Event()
    there.record()
    while not there.query():
        yield
    return copy
