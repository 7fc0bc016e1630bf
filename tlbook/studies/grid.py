"""The runs that studies are made of: one constructor each for P, P-T and RI-T, so questions share runs."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from tlbook import data, runs, scales, weight_files
from tlbook.data.shuffles import Shuffle
from tlbook.models import build, start_from
from tlbook.scales import SOURCE, Scale
from tlbook.specs import ABSENT, Checkpoint, File, Init, RunSpec, Weights, unique

__all__ = ["of_init", "p_t", "pretrained", "pretraining", "ri_t", "source", "target", "unique"]

SOURCE_SEED = 0
SHUFFLE_SEED = 1234  # seed i of a study shuffles with 1234 + i (the official seeds are 1234, 1235, 1236)
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4


def source(scale: Scale) -> RunSpec:
    """The pre-training run: every epoch kept, tested each epoch, its training metric at the measured ones."""
    task = scale.source
    return RunSpec(
        role=SOURCE,
        **_images(scale, SOURCE),
        shuffle=Shuffle.none(),
        augmentation=task.augmentation,
        init=Init("random"),
        init_seed=SOURCE_SEED,
        head_seed=SOURCE_SEED,
        order_seed=SOURCE_SEED,
        rate=scale.source_rate,
        epochs=task.epochs,
        measured=tuple(range(task.epochs + 1)),
        train_measured=(task.epochs,),
        kept=tuple(range(task.epochs + 1)),
        keep_best=False,
        **_protocol(scale, SOURCE, task.epochs),
    )


def pretrained(scale: Scale) -> Weights:
    """P at a scale: the last epoch of our own pre-training, the file shipped with tlbook, or the user's."""
    if scale.pretrained == "train":
        return Checkpoint(source(scale).id, scale.source.epochs)
    if scale.pretrained == "shipped":
        return weight_files.shipped(scale.name)
    file = weight_files.register(Path(scale.pretrained).expanduser(), runs.own_files())
    _refuse_misfit(file, scale.network)
    return file


@functools.lru_cache(maxsize=8)
def _refuse_misfit(file: File, network: str) -> None:
    """Refuse weights that this network cannot start from, before anything is trained."""
    with torch.random.fork_rng(devices=[]):
        start_from(build(network, 2), runs.weights(file))


def pretraining(scale: Scale) -> list[RunSpec]:
    """The pre-training run that must exist before P-T can start; none where P comes from a file."""
    return [source(scale)] if scale.pretrained == "train" else []


def p_t(scale: Scale, role: str, rate: str, seed: int, **how) -> RunSpec:
    """P fine-tuned on a role. ``rate`` is "low" or "high"; ``how`` as in `target`."""
    return target(scale, role, Init("from", pretrained(scale)), rate, seed, **how)


def ri_t(scale: Scale, role: str, rate: str, seed: int, **how) -> RunSpec:
    """A random init trained on a role. ``rate`` is "low" or "high"; ``how`` as in `target`."""
    return target(scale, role, Init("random"), rate, seed, **how)


def of_init(scale: Scale, init: str, *args, **how) -> RunSpec:
    """`p_t` for "P-T", `ri_t` for "RI-T"."""
    return {"P-T": p_t, "RI-T": ri_t}[init](scale, *args, **how)


def target(
    scale: Scale, role: str, init: Init, rate: str, seed: int, block_size: str | int | None = None
) -> RunSpec:
    """A run on a target role. One ``seed`` sets init, head, order and shuffle.

    ``block_size`` None is a run of Figure 2: augmented, unshuffled, with checkpoints kept at powers of two.
    Any block size, the image's side included, is a run of Figure 3: never augmented, its final weights kept.
    """
    task = scale.task(role)
    figure2 = block_size is None
    random_start = init.kind == "random"
    unshuffled_epochs = task.random_epochs if random_start and task.random_epochs else task.epochs
    epochs = unshuffled_epochs if figure2 else scale.shuffle_epochs
    shuffle = Shuffle.none() if figure2 else Shuffle.of(block_size, scale.side, SHUFFLE_SEED + seed)
    return RunSpec(
        role=role,
        **_images(scale, role),
        shuffle=shuffle,
        augmentation=task.augmentation if figure2 else "none",
        init=init,
        init_seed=seed if random_start else None,
        head_seed=seed,
        order_seed=seed,
        rate=scale.rates[rate] * task.rate_factor,
        epochs=epochs,
        measured=scale.measured_epochs(epochs) if figure2 else (epochs,),
        train_measured=tuple(range(epochs + 1)),
        kept=powers_of_two(epochs) if figure2 else (epochs,),
        keep_best=figure2,
        **_protocol(scale, role, epochs),
    )


def powers_of_two(epochs: int) -> tuple[int, ...]:
    """0, 1, 2, 4, 8, …, and the last epoch."""
    return tuple(sorted({0, epochs} | {2**k for k in range(epochs.bit_length()) if 2**k <= epochs}))


def block_fraction(block_size: str | int, side: int) -> float:
    """A block size as a fraction of the side, 0 for '*', so that scales compare."""
    return 0.0 if block_size == scales.PIXELS else int(block_size) / side


def _protocol(scale: Scale, role: str, epochs: int) -> dict:
    task = scale.task(role)
    return dict(
        side=scale.side,
        normalisation=task.normalisation,
        mixup=task.mixup,
        network=scale.network,
        batch=task.batch,
        steps=tuple(round(fraction * epochs) for fraction in task.steps),
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        precision=scale.precision,
        metric=task.metric,
        images=data.request(scale, role),
    )


def _images(scale: Scale, role: str) -> dict:
    """Which images a role trains on; where they are not on this machine, what the scale declares."""
    task = scale.task(role)
    try:
        domain = data.load(data.request(scale, role))
    except data.MissingData:
        return dict(
            dataset=task.dataset,
            digest=ABSENT,
            examples=task.train,
            classes=0,
            multilabel=False,
            evaluated=task.dev + task.test,
        )
    return dict(
        dataset=task.dataset,
        digest=domain.digest,
        examples=len(domain.train),
        classes=len(domain.classes),
        multilabel=domain.multilabel,
        evaluated=len(domain.dev) + len(domain.test),
    )
