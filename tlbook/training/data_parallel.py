"""Pre-training on several devices: DistributedDataParallel in the processes that torchrun starts.

Each process takes its share of every batch of the one drawn order, and gradients are averaged, so that an
update is that of one process within rounding. The first process has the run's folder and writes what is kept.
When a process is lost, torchrun starts all of them again, and they go on from the last resume point.
Sources: https://docs.pytorch.org/docs/2.11/generated/torch.nn.parallel.DistributedDataParallel.html,
https://docs.pytorch.org/docs/2.11/elastic/run.html.
"""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Generator, Iterator
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from tlbook import metrics
from tlbook.data import Domain, augment, batches
from tlbook.data.stream import Stream
from tlbook.errors import TlbookError
from tlbook.scales import SOURCE
from tlbook.training import loop, replay, runs
from tlbook.training.loop import State
from tlbook.training.specs import RunSpec

FRESH = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"  # a new store of addresses for processes that are started again
PATIENCE = timedelta(hours=2)  # that processes have for each other: one may have test views to decode first


def processes() -> int:
    """How many processes torchrun has started, on all machines; 1 where it has not."""
    return int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1


def ensure(spec: RunSpec, retrain: bool = False) -> runs.Run | None:
    """`runs.ensure` in every process of torchrun; the run in the first of them, None in the others.

    Misuse is refused in one sentence, by every process, since torchrun ends all when one has ended.
    """
    if why := _misuse(spec, retrain):
        raise TlbookError(why)
    if runs.on_gpu():
        os.environ["TLBOOK_DEVICE"] = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(runs.device())
    dist.init_process_group("cpu:gloo,cuda:nccl" if runs.on_gpu() else "gloo", timeout=PATIENCE)
    run = None
    if dist.get_rank() == 0:
        run = runs.ensure(spec, show=True, by=Parallel)
        _told(None)
    else:
        while start := _told():
            _follow(*start)
    dist.destroy_process_group()
    return run


def _misuse(spec: RunSpec, retrain: bool) -> str:
    """Why processes of torchrun cannot train a run, in a sentence; empty if they can.

    Restarts need a variable: https://github.com/pytorch/pytorch/issues/135712.
    """
    if spec.role != SOURCE:
        return f"torchrun shares pre-training among devices (`train source`), not a run on {spec.role}."
    if spec.batch % processes():
        divisors = [str(n) for n in range(1, spec.batch + 1) if spec.batch % n == 0]
        valid = f"use {', '.join(divisors[:-1])} or {divisors[-1]} processes"
        return f"{processes()} processes cannot share a batch of {spec.batch} images equally; {valid}."
    if retrain:
        return "Under torchrun, --retrain would begin anew at each restart; remove the run's folder instead."
    old_store = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if old_store and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        why = "restarted processes would call those that are gone"
        return f"torchrun --max-restarts needs {FRESH}=1 in its environment; without it, {why}."
    return ""


def _told(start: tuple[RunSpec, int, int] | None = None) -> tuple[RunSpec, int, int] | None:
    """What the first process tells all: what it trains, with all that is measured, and from which epoch and
    number of rows; or None at the end."""
    said = [start]
    dist.broadcast_object_list(said)
    return said[0]


def _follow(spec: RunSpec, epoch: int, rows: int) -> None:
    """Train along with the first process from where it begins, and keep nothing."""
    domain, state = runs.images(spec), loop.initial(spec, None, runs.device())
    if (runs.unfinished(spec) / "resume.safetensors").exists():
        runs.read_resume(state, runs.unfinished(spec))
    if (state.epoch, len(state.rows)) != (epoch, rows):
        here = f"epoch {state.epoch} of run {spec.id}, but the first process is at epoch {epoch}"
        raise TlbookError(f"{runs.root()} holds {here}: TLBOOK_RUNS must be one folder for all processes.")
    with runs.place(spec, runs.own_stream()):
        made = Parallel(spec, domain, state, runs.device())
        deque(loop.training(spec, domain, state, lambda state: None, made), maxlen=0)


class Parallel(loop.Direct):
    """`loop.Direct` in one of several processes, which are all at the same state."""

    def __init__(self, spec: RunSpec, domain: Domain, state: State, device: str):
        super().__init__(spec, domain, state, device)
        self.number, self.count = dist.get_rank(), dist.get_world_size()
        if self.number == 0:
            _told((spec, state.epoch, len(state.rows)))
        self.together = dataclasses.replace(state, model=DistributedDataParallel(state.model))

    def epoch(self, rng: np.random.Generator) -> Iterator[None]:
        """The updates of an epoch whose numbers come from ``rng``, a pause after each."""
        spec, examples, view = self.spec, self.domain.train, self.view
        from_files = isinstance(examples.images, Stream) and examples.images.augments(spec.augmentation)
        values = replay.draws(spec, len(examples), rng, from_files)
        drawn = {name: torch.from_numpy(each) for name, each in values.items()}
        order, seeds = drawn.pop("order"), drawn.pop("seeds", None)
        mixup = [drawn.pop(name) for name in ("partner", "share")] if spec.mixup else []
        wholes = torch.arange(len(examples)).split(spec.batch)
        owns = [whole[self._rows(len(whole))] for whole in wholes]
        seeds = [seeds[own] for own in owns] if from_files else None
        pictures = batches.gathered(examples, [order[own] for own in owns], seeds)
        for whole, own, images in zip(wholes, owns, pictures, strict=True):
            images = images.to(self.device)
            if not from_files:
                views = tuple(each[own].to(self.device) for each in drawn.values())
                fill = view.mean.to(self.device)
                images = augment.apply(spec.augmentation, images.float(), view.side, fill, views)
            images = view.finish(self._whole(images, len(whole)).float())
            mixed = (mixup[0][whole].to(self.device), mixup[1][whole[0]].item()) if mixup else ()
            labels = examples.labels[order[whole]].to(self.device)
            loop.update(spec, self.together, images, labels, *mixed, rows=self._rows(len(whole)))
            yield

    def outputs(self, split: str) -> Generator[None, None, tuple[Tensor, Tensor]]:
        """Logits and labels of a split, on the CPU; but in all processes but the first, of a share of it."""
        which = slice(self.number, None, self.count)
        images = batches.evaluation(getattr(self.domain, split), self.view, self.device, which=which)
        own = metrics.predict(self.state.model, images, self.spec.precision)
        every = [own] * self.count if self.number == 0 else None
        dist.gather_object(own, every)
        return tuple(map(torch.cat, zip(*every or [own], strict=True)))
        yield  # never, as in `loop.Direct.outputs`

    def _rows(self, count: int) -> slice:
        """This process's share of a batch; all of one that cannot be shared equally, an epoch's last."""
        share, rest = divmod(count, self.count)
        return slice(None) if rest else slice(self.number * share, (self.number + 1) * share)

    def _whole(self, own: Tensor, count: int) -> Tensor:
        """The images of a batch from all shares: mixup mixes an image with one of any share."""
        if len(own) == count:
            return own
        shares = [torch.empty(own.shape, dtype=own.dtype, device=own.device) for _ in range(self.count)]
        dist.all_gather(shares, own.contiguous())
        return torch.cat(shares)
