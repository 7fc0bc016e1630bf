"""The runs that studies are made of: one constructor each for P, P-T and RI-T, so questions share runs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from tlbook import data, scales, settings
from tlbook.data.shuffles import Shuffle
from tlbook.errors import TlbookError
from tlbook.models import Network, build, skeleton, start_from
from tlbook.scales import INITS, RATES, SOURCE, Scale
from tlbook.training import runs, weight_files
from tlbook.training.specs import ABSENT, INIT_NAMES, Checkpoint, File, Init, RunSpec, Weights, unique
from tlbook.vocabulary import at_end

SOURCE_SEED = 0
SOURCE_THREADS = 2  # pre-training is one long run at a time
CONSTANT_SEED = 1  # of the second pre-training: another draw, another order
SHUFFLE_SEED = 1234  # seed i of a study shuffles with 1234 + i (the official seeds are 1234, 1235, 1236)
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4


def source(scale: Scale) -> RunSpec:
    """The pre-training run: every epoch kept and tested, its training metric at the last."""
    task = scale.source
    return _pretraining_run(scale, scale.source_seed, task.epochs, task.steps)


def constant_source(scale: Scale) -> RunSpec:
    """A second, shorter pre-training at a constant rate, independent of the first (other init and order)."""
    return _pretraining_run(scale, CONSTANT_SEED, scale.constant_epochs, steps=())


def _pretraining_run(scale: Scale, seed: int, epochs: int, steps: tuple[float, ...]) -> RunSpec:
    protocol = _protocol(scale, SOURCE, epochs)
    protocol["steps"] = tuple(round(fraction * epochs) for fraction in steps)
    return RunSpec(
        role=SOURCE,
        **_images(scale, SOURCE),
        shuffle=Shuffle.of(scale.source_block or scale.side, scale.side, SHUFFLE_SEED + seed),
        augmentation=scale.source.augmentation,
        init=Init("random"),
        init_seed=seed,
        head_seed=seed,
        order_seed=seed,
        rate=scale.source_rate,
        epochs=epochs,
        measured=tuple(range(epochs + 1)),
        train_measured=(epochs,),
        kept=tuple(range(epochs + 1)),
        keep_best=False,
        threads=SOURCE_THREADS,
        **protocol,
    )


def pretrained(scale: Scale) -> Weights:
    """P at a scale: the last epoch of our own pre-training, the file shipped with tlbook, or the user's."""
    if scale.pretrained == "train":
        return Checkpoint(source(scale).id, scale.source.epochs)
    if scale.pretrained == "shipped":
        return weight_files.shipped(scale.name)
    return _own_file(scale.pretrained, scale.network)


def network_of_p(scale: Scale) -> tuple[Network, bool]:
    """P as a network on the device, in evaluation mode; and whether its weights had its head.

    Weights without one, or with one that is no head of this network, have a drawn one, always the same.
    """
    state = runs.weights(pretrained(scale))
    asked = skeleton(scale.network)
    wanted = {name: value.shape[1:] for name, value in asked.get_submodule(asked.head).state_dict().items()}
    given = {name: state.get(f"{asked.head}.{name}") for name in wanted}
    outputs = {len(value) if value is not None and value.ndim else 0 for value in given.values()}
    whole = len(outputs) == 1 and outputs != {0}
    whole = whole and all(given[name].shape[1:] == shape for name, shape in wanted.items())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SOURCE_SEED)
        model = start_from(build(scale.network, max(outputs) if whole else 2), state, whole, scale.network)
    return model.to(runs.device()).eval(), whole


def _own_file(path: str, network: str) -> File:
    """A user's weights to start from, registered, and refused where the network cannot start from them."""
    file = weight_files.register(settings.absolute(path), runs.own_files())
    _refuse_misfit(file, network)
    return file


@functools.lru_cache(maxsize=8)
def _refuse_misfit(which: Weights, network: str) -> None:
    """Refuse weights that this network cannot start from, before anything is trained."""
    with torch.random.fork_rng(devices=[]):
        start_from(build(network, 2), runs.weights(which), network=network)


def pretraining(scale: Scale) -> list[RunSpec]:
    """The pre-training run that must exist before P-T can start; none where P comes from a file."""
    return [source(scale)] if scale.pretrained == "train" else []


def checkpoint(scale: Scale, epoch: int | str) -> Init:
    """Where fine-tuning from an epoch of P's pre-training starts, or from a user's file; 0 is random weights.

    An epoch beyond the pre-training is refused; a P from a user's file has no checkpoints of its own, and a
    shipped P only those that are shipped. A file that is not whole, or of another network, is refused too.
    """
    if isinstance(epoch, str):
        if not settings.absolute(epoch).is_file():
            raise TlbookError(f"There is no checkpoint file {epoch}.")
        return Init("from", _own_file(epoch, scale.network))
    if epoch == 0:
        return Init("random")
    if scale.pretrained == "train":
        if not 0 < epoch <= scale.source.epochs:
            there = f"it has 0 to {scale.source.epochs}"
            raise TlbookError(f"There is no epoch {epoch} of pre-training at scale {scale.name}; {there}.")
        return Init("from", Checkpoint(source(scale).id, epoch))
    if scale.pretrained == "shipped":
        return Init("from", weight_files.shipped(scale.name, epoch))
    raise TlbookError(
        f"P is the file {scale.pretrained}, so there are no earlier epochs of its pre-training; "
        "set pretrained to 'train' or 'shipped'."
    )


def refuse_misfits(specs: Iterable[RunSpec]) -> None:
    """Refuse weights that a run cannot start from, and files that are not whole, before anything is trained.

    Weights of runs that are yet to be trained are left out.
    """
    wanted = {(spec.init.weights, spec.network) for spec in specs if spec.init.weights is not None}
    for which, network in wanted:
        if isinstance(which, File) or runs.find(which.run) is not None:
            _refuse_misfit.__wrapped__(which, network)  # not what it found earlier: files can be damaged


def p_t(scale: Scale, role: str, rate: str, seed: int, **how) -> RunSpec:
    """P fine-tuned on a role. ``rate`` is "low" or "high"; ``how`` as in `target`."""
    return target(scale, role, Init("from", pretrained(scale)), rate, seed, **how)


def ri_t(scale: Scale, role: str, rate: str, seed: int, **how) -> RunSpec:
    """A random init trained on a role. ``rate`` is "low" or "high"; ``how`` as in `target`."""
    return target(scale, role, Init("random"), rate, seed, **how)


def of_init(scale: Scale, init: str, role: str, rate: str, seed: int, **how) -> RunSpec:
    """The run of an init as tables name it: `p_t`, `ri_t`, or a control, which starts from P redrawn."""
    if init in INITS:
        return {"P-T": p_t, "RI-T": ri_t}[init](scale, role, rate, seed, **how)
    kinds = {name: kind for kind, name in INIT_NAMES.items()}
    return target(scale, role, Init(kinds[init], pretrained(scale)), rate, seed, **how)


def target(
    scale: Scale,
    role: str,
    init: Init,
    rate: str,
    seed: int,
    block_size: str | int | None = None,
    *,
    init_seed: int | None = None,
    head_seed: int | None = None,
    order_seed: int | None = None,
    epochs: int | None = None,
    final_only: bool = False,
) -> RunSpec:
    """A run on a target role. One ``seed`` sets init, head, order and shuffle, unless one is given apart.

    ``block_size`` None is a run of Figure 2: augmented, unshuffled, with checkpoints kept at powers of two
    and at the best epoch (only at the last, if ``final_only``). Any block size, the image's side included, is
    a run of Figure 3: never augmented, its final weights kept. ``epochs`` None is as the scale says.
    """
    task = scale.task(role)
    figure2 = block_size is None
    # By a seed, all of it or some modules; such runs train as long as RI-T.
    drawn = init.kind != "from" or init.modules is not None
    unshuffled_epochs = task.random_epochs if drawn and task.random_epochs else task.epochs
    epochs = epochs or (unshuffled_epochs if figure2 else scale.shuffles.epochs)
    shuffle = Shuffle.none() if figure2 else Shuffle.of(block_size, scale.side, SHUFFLE_SEED + seed)
    whole = figure2 and not final_only
    return RunSpec(
        role=role,
        **_images(scale, role),
        shuffle=shuffle,
        augmentation=task.augmentation if figure2 else "none",
        init=init,
        init_seed=(seed if init_seed is None else init_seed) if drawn else None,
        head_seed=seed if head_seed is None else head_seed,
        order_seed=seed if order_seed is None else order_seed,
        rate=scale.rates[rate] * task.rate_factor,
        epochs=epochs,
        measured=scale.measured_epochs(role, epochs) if figure2 else (epochs,),
        train_measured=tuple(range(epochs + 1)),
        kept=powers_of_two(epochs) if whole else (epochs,),
        keep_best=whole,
        **_protocol(scale, role, epochs),
    )


def with_images(scale: Scale, role: str, count: int) -> Scale:
    """The scale with at most ``count`` training images of a role."""
    return scale.replace(tasks={**scale.tasks, role: dataclasses.replace(scale.task(role), train=count)})


def on_images(scale: Scale, whole: RunSpec, count: int, **keys) -> RunSpec:
    """``whole``, the run of these ``keys``, with ``count`` training images and about as many updates; its
    training metric as often measured."""
    before, after = (-(-images // whole.batch) for images in (whole.examples, count))  # updates an epoch
    epochs = round(whole.epochs * before / after)
    spec = of_init(with_images(scale, whole.role, count), **keys, epochs=epochs, final_only=True)
    measured = np.linspace(0, epochs, whole.epochs + 1).round().astype(int)
    return dataclasses.replace(spec, train_measured=tuple(sorted(set(measured.tolist()))))


def unshuffled(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[dict, RunSpec]]:
    """Figure 2: unshuffled and augmented, both inits; the second rate on as many seeds as the scale says."""
    for role in targets:
        for init in INITS:
            for rate in RATES:
                main = rate == scale.main_rates[init]
                for seed in seeds if main else seeds[: scale.second_rate_seeds.get(role, 0)]:
                    keys = {"role": role, "init": init, "rate": rate, "seed": seed}
                    yield keys, of_init(scale, init, role, rate, seed)


def shuffled_runs(
    scale: Scale, targets: Sequence[str], seeds: Sequence[int]
) -> Iterator[tuple[dict, RunSpec]]:
    """Figure 3: every block size, the unshuffled run without augmentation included."""
    for role in targets:
        for init in INITS:
            for rate in RATES if scale.shuffles.second_rate else [scale.main_rates[init]]:
                for number, seed in enumerate(seeds[: scale.shuffles.seeds.get(role, 0)]):
                    for size in scale.shuffles.sizes_of(number):
                        keys = {"role": role, "init": init, "rate": rate, "seed": seed}
                        keys["block_size"] = str(size)
                        keys["block_fraction"] = block_fraction(size, scale.side)
                        yield keys, of_init(scale, init, role, rate, seed, block_size=size)


def of_figures_2_and_3(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """P if we train it, then the runs of `unshuffled` and `shuffled_runs`."""
    planned = (*unshuffled(scale, targets, seeds), *shuffled_runs(scale, targets, seeds))
    return unique([*pretraining(scale), *(spec for _, spec in planned)])


def final_rows(spec: RunSpec) -> pd.DataFrame:
    """A run's last epoch, and its optimisation speed."""
    return at_end(runs.ensure(spec).history())


def long(parts) -> pd.DataFrame:
    """Histories under their keys as one table, the keys first."""
    frames = [history.assign(**keys)[[*keys, *history.columns]] for keys, history in parts]
    return pd.concat(frames, ignore_index=True)


def domains(scale: Scale, targets: Sequence[str]) -> pd.DataFrame:
    """The data behind each role whose images are at hand, the source too. Raises MissingData if none are."""
    at_hand = {role: found for role in (SOURCE, *targets) if (found := identity(scale, role))}
    if not at_hand:
        data.identify(data.request(scale, targets[0]))  # raises the sentence that says what is missing
    rows = []
    for role, found in at_hand.items():
        counts = {split: len(getattr(found, split)) for split in ("train", "dev", "test")}
        chance = 0.5 if scale.metric[role] == "auc" else 100 / len(found.classes)
        about = {"dataset": found.dataset, "classes": len(found.classes)}
        rows.append({"role": role} | about | counts | {"chance": chance, "metric": scale.metric[role]})
    return pd.DataFrame(rows)


def powers_of_two(epochs: int) -> tuple[int, ...]:
    """0, 1, 2, 4, 8, …, and the last epoch."""
    return tuple(sorted({0, epochs} | {2**k for k in range(epochs.bit_length()) if 2**k <= epochs}))


def block_fraction(block_size: str | int, side: int) -> float:
    """A block size as a fraction of the side, 0 for '*', so that scales compare."""
    return 0.0 if block_size == scales.PIXELS else int(block_size) / side


def refuse_few(scale: Scale, roles: Sequence[str], least: int = 1, why: str = "measures models on") -> None:
    """Refuse data sets with fewer test images than a question needs, before anything is trained for it."""
    for role in roles:
        found = data.identify(data.request(scale, role))
        if len(found.test) < least:
            few = f"The data set {found.dataset} has {len(found.test) or 'no'} test images"
            raise TlbookError(f"{few}, and this question {why} at least {least}.")


def lacks_source(scale: Scale) -> bool:
    """Whether a reader's own images are studied where those of the source are not: what needs them is left
    out. Raises MissingData where the scale's own images are studied, before anything is trained."""
    if not scale.own_images:
        data.identify(data.request(scale, SOURCE))
    return identity(scale, SOURCE) is None


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
    found = None if scale.declared else identity(scale, role)
    if found is None:
        known = dict(digest=ABSENT, evaluated=ABSENT, examples=task.train, classes=0, multilabel=False)
        return dict(dataset=task.dataset, held_out=task.dev + task.test, **known)
    return dict(
        dataset=task.dataset,
        digest=found.digest,
        evaluated=found.evaluated,
        examples=len(found.train),
        classes=len(found.classes),
        multilabel=found.multilabel,
        held_out=len(found.dev) + len(found.test),
    )


def identity(scale: Scale, role: str) -> data.Identity | None:
    """Which images stand for a role; None where they are not on this machine."""
    try:
        return data.identify(data.request(scale, role))
    except data.MissingData:
        return None
