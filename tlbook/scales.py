"""The four scales as frozen values; no other module holds a number that belongs to a scale.

A scale says which data set stands for which role, which network reads it at which side, and how long
everything trains. The protocol (optimiser, schedule, shuffles, metrics) is the same at every scale.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from tlbook.checks import (
    FLAG,
    POSITIVE,
    SHARE,
    TEXT,
    Valid,
    either,
    kind,
    named,
    number,
    one_of,
    optional,
    refuse_invalid,
    several,
    whole,
)
from tlbook.errors import TlbookError

SOURCE = "source"
# Target -> scale -> the images that stand for it (`gpu` has those of `laptop`). A new target is a line, and a
# scale that it does not name is without it; the order is the book's.
DATASETS = {
    "real": dict(smoke="embedded/real", laptop="pacs/photo", paper="domainnet/real"),
    "clipart": dict(smoke="embedded/clipart", laptop="pacs/cartoon", paper="domainnet/clipart"),
    "quickdraw": dict(smoke="embedded/quickdraw", laptop="pacs/sketch", paper="domainnet/quickdraw"),
    "xray": dict(smoke="embedded/xray", laptop="chest-xray", paper="chexpert"),
}
TARGETS = tuple(DATASETS)
INITS = ("P-T", "RI-T")
CONTROLS = ("MeanVar-T", "Permuted-T")  # from P's weights redrawn: their size without their features
SHUFFLED_PS = ("Pixels-T", "Blocks-T")  # from a P whose source was shuffled in small and in large blocks
RATES = ("low", "high")
EMBEDDED = "embedded/"  # before the role of a data set that is drawn, not read
FOLDER = "folder:"  # before the path of a data set that is a folder of class folders
PIXELS = "*"  # the paper's name for shuffling single values across pixels and channels

LARGEST_SIDE = 4096  # pixels
LARGEST_SEED = 2**32 - 1  # that NumPy's generators take

PAPER_STEPS = (0.3, 0.6, 0.9)  # DomainNet: x0.1 at epochs 30, 60, 90 of 100
LATE_STEPS = (0.6, 0.8, 0.95)  # for short runs: an early decay leaves RI-T half trained
OFTEN = (0.01, 0.02, 0.035, *(round(0.05 * part, 2) for part in range(1, 21)))  # where a best epoch is asked
SOURCE_STEPS = (1 / 3, 2 / 3)  # pre-training: x0.1 at epochs 30 and 60 of 90


SEED = whole(0, LARGEST_SEED)
BLOCK = either(one_of(PIXELS), whole(1))


class _Frozen:
    """A frozen dataclass whose mappings are frozen too, and whose values are ``valid``, else refused."""

    valid: ClassVar[Mapping[str, Valid]]

    def __post_init__(self) -> None:
        refuse_invalid(self, self.valid, f"A {type(self).__name__.lower()}")
        for field_ in dataclasses.fields(self):
            value = getattr(self, field_.name)
            if isinstance(value, Mapping):
                object.__setattr__(self, field_.name, MappingProxyType(dict(value)))


@dataclass(frozen=True)
class Task(_Frozen):
    """How one role is trained at one scale.

    ``train`` and ``test`` cap the number of images (after the split); ``dev`` is only used where the images
    are generated. ``steps`` are fractions of ``epochs`` at which the rate falls tenfold. ``random_epochs``
    overrides ``epochs`` for RI-T (the paper's CheXpert: 200 from P, 400 from random init),
    ``rate_factor`` multiplies the scale's rates (its batch is eight times DomainNet's), and ``measured``
    overrides the scale's.
    """

    valid = {
        "dataset": TEXT,
        "train": whole(1),
        "test": whole(0),
        "epochs": whole(1),
        "batch": whole(1),
        "steps": several(SHARE, least=0),
        "metric": one_of("accuracy", "auc"),
        "augmentation": one_of("crop-flip", "resized-crop-flip", "affine", "none"),
        "normalisation": one_of("own", "imagenet", "chexpert"),
        "mixup": number("0 or a positive number", lambda value: value >= 0),
        "dev": whole(0),
        "random_epochs": optional(whole(1)),
        "rate_factor": POSITIVE,
        "measured": optional(several(SHARE)),
    }

    dataset: str
    train: int
    test: int
    epochs: int
    batch: int = 32
    steps: tuple[float, ...] = LATE_STEPS
    metric: Literal["accuracy", "auc"] = "accuracy"
    augmentation: Literal["crop-flip", "resized-crop-flip", "affine", "none"] = "crop-flip"
    normalisation: Literal["own", "imagenet", "chexpert"] = "own"
    mixup: float = 0.7
    dev: int = 0
    random_epochs: int | None = None
    rate_factor: float = 1.0
    measured: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Shuffles(_Frozen):
    """Question 1: training on images whose blocks are shuffled (Figure 3), and on the same unshuffled."""

    valid = {
        "sizes": several(BLOCK),
        "epochs": whole(1),
        "seeds": named(whole(0)),
        "between_seeds": whole(0),
        "second_rate": FLAG,
    }

    sizes: tuple[str | int, ...]  # of blocks in pixels, '*' for single values; the last is the side itself
    epochs: int
    seeds: Mapping[str, int]  # by role, of the first two sizes and the last
    between_seeds: int  # at most so many of the sizes between, which no statement reads
    second_rate: bool  # whether both rates are run, or the main one only

    def sizes_of(self, number: int) -> tuple[str | int, ...]:
        """The sizes of the number-th seed (from 0)."""
        ends = (*self.sizes[:2], self.sizes[-1])
        return self.sizes if number < self.between_seeds else tuple(dict.fromkeys(ends))


@dataclass(frozen=True)
class Controls(_Frozen):
    """Question 1's controls: inits of P's size without its features, few images, distances of domains."""

    valid = {
        "seeds": named(whole(0)),
        "rate": one_of(*RATES),
        "sizes": several(BLOCK, least=0),
        "few_images": several(whole(1), least=0),
        "few_images_epochs": optional(whole(1)),
        "distance_images": whole(3),
    }

    seeds: Mapping[str, int]  # by role, of the inits of `CONTROLS` and of runs on few images
    rate: str  # of the inits of `CONTROLS`
    sizes: tuple[str | int, ...]  # those of the block sizes at which they are shuffled too
    few_images: tuple[int, ...]  # training images; sizes that a role does not have are left out
    few_images_epochs: int | None  # on few images as many updates as so many on all; None: as the role trains
    distance_images: int  # of each domain, to measure its distance from the source


@dataclass(frozen=True)
class Landscape(_Frozen):
    """Question 3: lines between models, and what is near their ends."""

    valid = {
        "points": named(whole(3)),
        "outside": whole(0),
        "partners": whole(1),
        "same_init_seeds": named(whole(0)),
        "crossed_seeds": named(whole(0)),
        "control_seeds": named(whole(0)),
        "other_source_seeds": named(whole(0)),
        "flat_distances": several(POSITIVE),
        "flat_directions": whole(1),
        "detailed_pairs": whole(1),
        "basin_deltas": several(POSITIVE),
    }

    points: Mapping[str, int]  # by role, on the paper's lines, ends included; every other one on other lines
    outside: int  # points beyond each end
    partners: int  # RI-T that each P-T is paired with
    same_init_seeds: Mapping[str, int]  # by role, RI-T from one random init
    crossed_seeds: Mapping[str, int]  # by role, pairs that cross rates, or whose rate is not the paper's
    control_seeds: Mapping[str, int]  # by role, P-T that share a head, or an order
    other_source_seeds: Mapping[str, int]  # by role, P-T from the second pre-training
    flat_distances: tuple[float, ...]  # relative, one near 0.1
    flat_directions: int
    detailed_pairs: int  # of a kind, followed beyond their ends, aligned, and held to a basin's definition
    basin_deltas: tuple[float, ...]  # size of a basin's noise, relative to the weights' norm


@dataclass(frozen=True)
class Criticality(_Frozen):
    """Question 4: modules set back to earlier values. Those of every seed go back to epoch 0."""

    valid = {
        "whole_seeds": whole(1),
        "rewind_epochs": whole(1),
        "redraws": whole(0),
        "images": whole(1),
        "points": whole(2),
        "noise_draws": whole(1),
        "noise": several(POSITIVE),
        "end_noise": several(POSITIVE, least=0),
        "map_seeds": whole(0),
    }

    whole_seeds: int  # whose modules also go to other epochs and to fresh draws, and have a criticality
    rewind_epochs: int  # kept epochs, at most, that they go back to
    redraws: int  # fresh draws that they go to
    images: int  # training images that paths are measured on, at most, and as many test images
    points: int  # of a path
    noise_draws: int
    noise: tuple[float, ...]  # factors, of both signs
    end_noise: tuple[float, ...]  # further factors, at the end of the direct path
    map_seeds: int  # whose modules have paths; of the others conv1 alone


@dataclass(frozen=True)
class Checkpoints(_Frozen):
    """Question 5: fine-tuning from checkpoints along pre-training."""

    valid = {
        "epochs": whole(1),
        "random_epochs": optional(whole(1)),
        "seeds": whole(1),
        "rates": several(one_of(*RATES)),
        "constant_starts": several(whole(0), least=0),
    }

    # Epochs of pre-training, around its steps; or a reader's own files (`epoch_of`).
    starts: tuple[int | str, ...]
    epochs: int
    random_epochs: int | None  # from random weights, checkpoint 0; None: as many as from the others
    seeds: int
    rates: tuple[str, ...]
    # Epochs of the constant pre-training, at P-T's main rate; () leaves it out.
    constant_starts: tuple[int, ...]


@dataclass(frozen=True)
class Further(_Frozen):
    """Controls that decide: other P's, P's of shuffled images, partial transfer, runs that part."""

    valid = {
        "seeds": named(whole(0)),
        "p_seeds": named(whole(0)),
        "source_seeds": several(SEED),
        "shuffled": named(BLOCK, *SHUFFLED_PS),
        "shuffled_epochs": whole(1),
        "parting_seeds": named(whole(0)),
        "parting_images": several(whole(1)),
        "parting": named(several(SHARE), *INITS),
    }

    seeds: Mapping[str, int]  # by role, of shuffled P's and of partial transfer
    p_seeds: Mapping[str, int]  # by role, of the other P's
    source_seeds: tuple[int, ...]  # of the other P's
    shuffled: Mapping[str, str | int]  # by init, the block size of the images that its P sees
    shuffled_epochs: int  # of such a P's pre-training
    parting_seeds: Mapping[str, int]  # by role, of the pairs of runs that part
    parting_images: tuple[int, ...]  # training images; sizes that a role does not have are left out
    parting: Mapping[str, tuple[float, ...]]  # by init, the shares of training after which runs part


@dataclass(frozen=True)
class Scale(_Frozen):
    """Everything that a study needs to know; studies take this value, never a name.

    ``rates`` are raw learning rates for this scale's batch, standing for the paper's 0.02 and 0.1.
    ``main_rates`` is the rate of each init that every role and seed runs; ``second_rate_seeds`` says on how
    many seeds a role runs the other one. ``constant_epochs`` is the length of a second pre-training without
    steps, independent of P, which questions 3 and 5 compare with. ``similarity_images`` caps the test images
    on which question 2 compares features, and ``detailed_seeds`` the seeds of which it measures what no
    statement reads: mistakes and features away from the paper's rates, or between different modules, and
    distances during training. ``measured`` are fractions of a run at which dev and test are
    evaluated (0 is the untrained network). ``source_seed`` is of P's pre-training, and ``source_block`` the
    size of the blocks in which its images are shuffled (None: not at all). ``judged`` is False where a scale
    only shows that all works.
    """

    valid = {
        "name": TEXT,
        "judged": FLAG,
        "network": TEXT,
        "side": whole(1, LARGEST_SIDE),
        "precision": one_of("fp32", "bf16"),
        "source": kind(Task),
        "tasks": named(kind(Task)),
        "shuffles": kind(Shuffles),
        "controls": kind(Controls),
        "landscape": kind(Landscape),
        "criticality": kind(Criticality),
        "checkpoints": kind(Checkpoints),
        "further": kind(Further),
        "source_rate": POSITIVE,
        "constant_epochs": whole(1),
        "rates": named(POSITIVE, *RATES),
        "second_rate_seeds": named(whole(0)),
        "similarity_images": whole(4),
        "detailed_seeds": whole(1),
        "declared": FLAG,
        "pretrained": TEXT,
        "seeds": several(SEED),
        "main_rates": named(one_of(*RATES), *INITS),
        "measured": several(SHARE),
        "source_seed": SEED,
        "source_block": optional(BLOCK),
    }

    name: str
    judged: bool
    network: str
    side: int
    precision: Literal["fp32", "bf16"]
    source: Task
    source_rate: float
    constant_epochs: int
    tasks: Mapping[str, Task]
    rates: Mapping[str, float]
    second_rate_seeds: Mapping[str, int]
    similarity_images: int
    detailed_seeds: int
    shuffles: Shuffles
    controls: Controls
    landscape: Landscape
    criticality: Criticality
    checkpoints: Checkpoints
    further: Further
    declared: bool = False  # True: images are counted as declared here, to plan without a look at them
    pretrained: str = "train"  # or "shipped", or the path of a safetensors file
    seeds: tuple[int, ...] = (0, 1, 2)
    main_rates: Mapping[str, str] = field(default_factory=lambda: {"P-T": "low", "RI-T": "high"})
    measured: tuple[float, ...] = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 0.8, 1)
    source_seed: int = 0
    source_block: str | int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for size in self.shuffles.sizes:
            if size not in (fitting := valid_block_sizes(self.side)):
                there = f"choose from {', '.join(map(str, fitting))}"
                raise TlbookError(f"Block size {size} does not divide the side of {self.side} px; {there}.")

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets that this scale has images for, in the book's order."""
        return tuple(self.tasks)

    @property
    def datasets(self) -> dict[str, str]:
        """Role -> data set, the source included."""
        return {SOURCE: self.source.dataset} | {role: task.dataset for role, task in self.tasks.items()}

    @property
    def metric(self) -> dict[str, str]:
        """Role -> the metric that its figures show: accuracy (percent) or auc (0 to 1)."""
        return {SOURCE: self.source.metric} | {role: task.metric for role, task in self.tasks.items()}

    @property
    def own_images(self) -> dict[str, str]:
        """Role -> folder of the targets that a reader's own images stand for."""
        tasks = self.tasks.items()
        return {r: t.dataset.removeprefix(FOLDER) for r, t in tasks if t.dataset.startswith(FOLDER)}

    def refuse_unread(self, folder: str) -> None:
        """Raise TlbookError where a folder of image sets is given to a scale that draws all of its images."""
        if all(dataset.startswith(EMBEDDED) for dataset in self.datasets.values()):
            raise TlbookError(
                f"Scale {self.name} draws its own images and reads none from {folder}; write "
                f"{FOLDER}{folder} if it holds your own, in one sub-folder per class."
            )

    def task(self, role: str) -> Task:
        """The task of a role, or of the source; an unknown role is refused, naming those that exist."""
        if role == SOURCE:
            return self.source
        if role not in self.tasks:
            raise TlbookError(f"There is no role {role!r}; choose from {', '.join((SOURCE, *self.tasks))}.")
        return self.tasks[role]

    def measured_epochs(self, role: str, epochs: int) -> tuple[int, ...]:
        """Epochs at which a role's dev and test are evaluated, 0 and the last among them."""
        fractions = self.task(role).measured or self.measured
        return tuple(sorted({0, epochs} | {max(1, round(f * epochs)) for f in fractions if f > 0}))

    def replace(self, **changes) -> Scale:
        """Another value with some fields changed; results of it are neither read from nor written to records.

        A mapping for a part changes those of its fields: ``scale.replace(shuffles={"epochs": 3})``. Besides
        the fields themselves, ``every_target`` changes fields of every target's task, ``epochs`` sets the
        epochs of every target run (shuffled ones and those from checkpoints too), and ``datasets`` maps
        targets to other data sets, on which both rates are then tried. Other names, and values that
        could not be studied, are refused.
        """
        changes = {"epochs": None, "datasets": {}, "every_target": {}, "tasks": self.tasks} | changes
        for name, (words, fits) in CHANGES.items():
            if not fits(changes[name]):
                raise TlbookError(f"A scale's {name} must be {words}, not {changes[name]!r}.")
        epochs, datasets, every_target = map(changes.pop, ("epochs", "datasets", "every_target"))
        if epochs is not None:
            every_target = {"epochs": epochs, "random_epochs": None} | every_target
            all_of_them = {"shuffles": {"epochs": epochs}}
            all_of_them["checkpoints"] = {"epochs": epochs, "random_epochs": None}
            for name, change in (all_of_them | {"controls": {"few_images_epochs": None}}).items():
                given = changes.get(name, {})
                changes[name] = change | given if isinstance(given, dict) else given  # a whole value stands
        tasks = {role: changed(task, every_target) for role, task in changes.pop("tasks").items()}
        for role, dataset in datasets.items():
            if role == SOURCE:
                raise TlbookError("Other images can stand for a target, not for the source.")
            tasks[role] = changed(tasks.get(role) or self.task(role), {"dataset": dataset})
            both = changes.get("second_rate_seeds", self.second_rate_seeds)
            changes["second_rate_seeds"] = {**both, role: len(self.seeds)}
        return changed(self, {"tasks": tasks} | changes, besides=("epochs", "datasets", "every_target"))


# What `Scale.replace` takes besides fields' own values, and tasks.
CHANGES = {
    "epochs": optional(whole(1)),
    "datasets": named(TEXT),
    "every_target": ("a value by field of a task", lambda given: isinstance(given, Mapping)),
    "tasks": Scale.valid["tasks"],
}


def changed(part: Any, changes: Mapping[str, Any], besides: Sequence[str] = ()) -> Any:
    """A frozen value with some fields changed, those of a field that is such a value itself by a mapping.

    Names that are no field are refused; ``besides`` are further names that the refusal lists.
    """
    fields = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    if unknown := sorted(set(changes) - set(fields)):
        valid = ", ".join(sorted({*fields, *besides}))
        raise TlbookError(f"A {type(part).__name__.lower()} has no value {unknown[0]!r}; it has {valid}.")
    nested = {
        name: changed(fields[name], value)
        for name, value in changes.items()
        if isinstance(value, Mapping) and dataclasses.is_dataclass(fields[name])
    }
    return dataclasses.replace(part, **{**changes, **nested})


def valid_block_sizes(side: int) -> tuple[str | int, ...]:
    """'*' and the block sizes, in pixels, that divide ``side``."""
    return (PIXELS, *(size for size in range(1, side + 1) if side % size == 0))


def epoch_of(checkpoint: int | str) -> int:
    """The epochs of pre-training behind an entry of ``checkpoints``: itself, or the last number in the name
    of a reader's own file (12 for ``run3/epoch-012.safetensors``). A name without a number is refused."""
    if isinstance(checkpoint, int):
        return checkpoint
    numbers = re.findall(r"\d+", Path(checkpoint).stem)
    if not numbers:
        like = "name checkpoints like epoch-012.safetensors"
        raise TlbookError(f"The name of {checkpoint} does not say after how many epochs it was kept; {like}.")
    return int(numbers[-1])


def _tasks(scale: str, xray: Mapping | None = None, **shared) -> dict[str, Task]:
    """A scale's targets: shared values, and what differs on xray (AUC, affine, no mixup, constant rate)."""
    chest = shared | {"metric": "auc", "augmentation": "affine", "mixup": 0.0, "steps": ()} | (xray or {})
    return {
        role: Task(datasets[scale], **(chest if role == "xray" else shared))
        for role, datasets in DATASETS.items()
        if scale in datasets
    }


# Two CPU cores, a few hours for all five questions, in parts; real images. Seeds 0 to 2 were the pilot.
LAPTOP = Scale(
    name="laptop",
    judged=True,
    network="fixup_small24",
    side=32,
    precision="fp32",
    source=Task(
        "tiny-imagenet", train=100_000, test=10_000, batch=64, epochs=39, steps=SOURCE_STEPS, mixup=0.0
    ),
    source_rate=0.05,
    constant_epochs=18,
    tasks=_tasks("laptop", train=300, test=1000, epochs=200, xray={"measured": OFTEN}),
    rates={"low": 0.02, "high": 0.1},
    second_rate_seeds=dict.fromkeys(TARGETS, 10),
    similarity_images=1000,
    detailed_seeds=3,
    shuffles=Shuffles(
        sizes=("*", 1, 2, 4, 8, 16, 32),
        epochs=60,
        seeds=dict.fromkeys(TARGETS, 10) | {"xray": 0},
        between_seeds=3,
        second_rate=True,
    ),
    controls=Controls(
        seeds=dict.fromkeys(TARGETS, 3),
        rate="high",
        sizes=("*", 8, 32),
        few_images=(50, 100, 200),
        few_images_epochs=None,
        distance_images=1000,
    ),
    landscape=Landscape(
        points=dict.fromkeys(TARGETS, 21),
        outside=5,
        partners=2,
        same_init_seeds=dict.fromkeys(TARGETS, 10),
        crossed_seeds=dict.fromkeys(TARGETS, 3),
        control_seeds=dict.fromkeys(TARGETS, 3),
        other_source_seeds={},
        flat_distances=(0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.5),
        flat_directions=5,
        detailed_pairs=3,
        basin_deltas=(0.1, 0.5),
    ),
    criticality=Criticality(
        whole_seeds=3,
        rewind_epochs=4,
        redraws=2,
        images=120,
        points=5,
        noise_draws=2,
        noise=(0.5, 0.25, 0.125, 0.0625, 0.03125),
        end_noise=(8, 5.66, 4, 2.83, 2, 1.41, 1, 0.707, 0.354, 0.177, 0.0884, 0.0442, 0.0221, 0.0156),
        map_seeds=1,
    ),
    checkpoints=Checkpoints(
        starts=(0, 1, 4, 13, 14, 26, 27, 39),
        epochs=40,
        random_epochs=200,
        seeds=10,
        rates=RATES,
        constant_starts=(),
    ),
    further=Further(
        seeds=dict.fromkeys(TARGETS, 5),
        p_seeds=dict.fromkeys(TARGETS, 5),
        source_seeds=(2, 3, 4),
        shuffled={"Pixels-T": 1, "Blocks-T": 8},
        shuffled_epochs=18,
        parting_seeds={"clipart": 5},
        parting_images=(300, 750),
        parting={"P-T": (0, 0.04), "RI-T": (0, 0.01, 0.04, 0.16)},
    ),
    pretrained="shipped",
    seeds=tuple(range(3, 13)),
)

# CI: shows that everything works and judges nothing; at most 1.8 million image-passes for all five questions.
SMOKE = LAPTOP.replace(
    name="smoke",
    judged=False,
    network="fixup_small8",
    source=Task("embedded/source", train=4000, test=600, epochs=12, steps=SOURCE_STEPS),
    source_rate=0.1,
    constant_epochs=6,
    tasks=_tasks("smoke", train=160, dev=100, test=300, epochs=80),
    rates={"low": 0.03, "high": 0.1},
    second_rate_seeds={"quickdraw": 1},
    similarity_images=300,
    shuffles=Shuffles(
        sizes=("*", 1, 8, 32),
        epochs=24,
        seeds=dict.fromkeys(TARGETS, 1),
        between_seeds=1,
        second_rate=False,
    ),
    controls={
        "seeds": {"real": 1},
        "sizes": ("*", 8),
        "few_images": (20, 40, 80),
        "few_images_epochs": 10,
        "distance_images": 300,
    },
    landscape=Landscape(
        points=dict.fromkeys(TARGETS, 5),
        outside=1,
        partners=1,
        same_init_seeds={"quickdraw": 3},
        crossed_seeds={"quickdraw": 1},
        control_seeds={"quickdraw": 2},
        other_source_seeds={"quickdraw": 2},
        flat_distances=(0.1, 0.3),
        flat_directions=2,
        detailed_pairs=1,
        basin_deltas=(0.5,),
    ),
    criticality=Criticality(
        whole_seeds=1,
        rewind_epochs=2,
        redraws=1,
        images=40,
        points=3,
        noise_draws=1,
        noise=(0.25,),
        end_noise=(0.5, 0.125),
        map_seeds=1,
    ),
    checkpoints=Checkpoints(
        starts=(0, 1, 2, 4, 5, 8, 12),
        epochs=16,
        random_epochs=None,
        seeds=1,
        rates=("low",),
        constant_starts=(4, 5),
    ),
    further=Further(
        seeds={"quickdraw": 1},
        p_seeds={"quickdraw": 2},
        source_seeds=(2,),
        shuffled={"Pixels-T": 1, "Blocks-T": 8},
        shuffled_epochs=3,
        parting_seeds={"quickdraw": 1},
        parting_images=(80, 160),
        parting={"P-T": (0,), "RI-T": (0, 0.1)},
    ),
    pretrained="train",
    seeds=(0, 1, 2),
)

# As many seeds as a verdict needs, and question 3's controls on three of them.
FIVE_SEEDS = {"seeds": tuple(range(3, 8)), "second_rate_seeds": dict.fromkeys(TARGETS, 5)}
CONTROLLED = {"same_init_seeds": dict.fromkeys(TARGETS, 5), "other_source_seeds": dict.fromkeys(TARGETS, 3)}

# One GPU of the H100 class, in two or three parts of nine minutes: the same images at twice the side, more of
# them, and the paper's network at half its width.
GPU = LAPTOP.replace(
    name="gpu",
    network="fixup_resnet50_small",
    side=64,
    precision="bf16",
    source={"batch": 256, "epochs": 30, "augmentation": "resized-crop-flip", "mixup": 0.7},
    source_rate=0.1,
    tasks=_tasks("laptop", train=750, test=1000, epochs=80, augmentation="resized-crop-flip"),
    rates={"low": 0.0025, "high": 0.0125},
    **FIVE_SEEDS,
    shuffles={
        "sizes": ("*", 1, 2, 4, 8, 16, 64),
        "epochs": 40,
        "seeds": dict.fromkeys(TARGETS, 5) | {"xray": 0},
        "between_seeds": 1,
        "second_rate": False,
    },
    controls={"sizes": ("*", 16, 64)},
    criticality={
        "rewind_epochs": 10,
        "redraws": 3,
        "images": 300,
        "points": 9,
        "noise_draws": 3,
        "map_seeds": 3,
    },
    landscape={
        "same_init_seeds": dict.fromkeys(TARGETS, 5),
        "crossed_seeds": dict.fromkeys(TARGETS, 1),
        "control_seeds": dict.fromkeys(TARGETS, 1),
    },
    checkpoints={
        "starts": (0, 1, 4, 10, 11, 20, 21, 30),
        "epochs": 20,
        "random_epochs": 80,
        "seeds": 5,
        "rates": ("low",),
    },
    further={"shuffled": {"Pixels-T": 1, "Blocks-T": 16}, "shuffled_epochs": 30},
    pretrained="train",
)

# The paper's own setting (section 3 and the official configuration): many GPU hours.
AS_PRINTED = {"augmentation": "resized-crop-flip", "normalisation": "imagenet"}
PAPER = LAPTOP.replace(
    name="paper",
    network="fixup_resnet50",
    side=224,
    source=Task(
        "imagenet", train=1_281_167, test=50_000, batch=256, epochs=90, steps=SOURCE_STEPS, **AS_PRINTED
    ),
    source_rate=0.1,
    constant_epochs=45,
    tasks=_tasks(
        "paper",
        xray={
            "batch": 256,
            "epochs": 200,
            "random_epochs": 400,
            "rate_factor": 8.0,
            "normalisation": "chexpert",
        },
        train=50_000,
        test=50_000,
        epochs=100,
        steps=PAPER_STEPS,
        **AS_PRINTED,
    ),
    rates={"low": 0.02 / 8, "high": 0.1 / 8},
    similarity_images=20_000,
    **FIVE_SEEDS,
    shuffles={
        "sizes": ("*", 1, 2, 4, 7, 8, 14, 16, 28, 32, 56, 112, 224),
        "epochs": 100,
        "seeds": dict.fromkeys(TARGETS, 5),
    },
    controls={"sizes": ("*", 56, 224), "few_images": (1_000, 5_000, 20_000), "distance_images": 2000},
    landscape=CONTROLLED | {"points": dict.fromkeys(TARGETS, 50) | {"xray": 20}},
    criticality={
        "rewind_epochs": 10,
        "redraws": 3,
        "images": 1000,
        "points": 11,
        "noise_draws": 5,
        "noise": (0.5, 0.4, 0.3, 0.2, 0.1, 0.05),
        "end_noise": (
            *(8, 5.66, 4, 2.83, 2, 1.41, 1, 0.707),
            *(0.354, 0.25, 0.177, 0.125, 0.0884, 0.0625, 0.0442, 0.0312, 0.0221, 0.0156),
        ),
    },
    checkpoints={
        "starts": (0, 1, 2, 5, 10, 29, 30, 31, 59, 60, 61, 89, 90),
        "epochs": 100,
        "random_epochs": None,
        "seeds": 5,
        "constant_starts": (30, 31, 45),
    },
    further={
        "shuffled": {"Pixels-T": 1, "Blocks-T": 56},
        "shuffled_epochs": 45,
        "parting_images": (5_000, 50_000),
    },
    pretrained="train",
)

SCALES = {scale.name: scale for scale in (SMOKE, LAPTOP, GPU, PAPER)}


def get(name: str) -> Scale:
    """The scale of that name; an unknown name is refused, naming those that exist."""
    if name not in SCALES:
        raise TlbookError(f"There is no scale {name!r}; choose from {', '.join(SCALES)}.")
    return SCALES[name]
