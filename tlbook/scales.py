"""The four scales as frozen values; no other module holds a number that belongs to a scale.

A scale says which data set stands for which role, which network reads it at which side, and how long
everything trains. The protocol (optimiser, schedule, shuffles, metrics) is the same at every scale.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from tlbook.errors import TlbookError

SOURCE = "source"
TARGETS = ("real", "clipart", "quickdraw", "xray")
INITS = ("P-T", "RI-T")
CONTROLS = ("MeanVar-T", "Permuted-T")  # from P's weights redrawn: their size without their features
RATES = ("low", "high")
EMBEDDED = "embedded/"  # before the role of a data set that is drawn, not read
FOLDER = "folder:"  # before the path of a data set that is a folder of class folders
PIXELS = "*"  # the paper's name for shuffling single values across pixels and channels

MAPPINGS = (
    "tasks", "rates", "second_rate_seeds", "main_rates", "line_points", "same_init_seeds", "control_seeds",
    "redrawn_seeds",
)  # fmt: skip

PAPER_STEPS = (0.3, 0.6, 0.9)  # DomainNet: x0.1 at epochs 30, 60, 90 of 100
LATE_STEPS = (0.6, 0.8, 0.95)  # for short runs: an early decay leaves RI-T half trained
SOURCE_STEPS = (1 / 3, 2 / 3)  # pre-training: x0.1 at epochs 30 and 60 of 90


@dataclass(frozen=True)
class Task:
    """How one role is trained at one scale.

    ``train`` and ``test`` cap the number of images (after the split); ``dev`` is only used where the images
    are generated. ``steps`` are fractions of ``epochs`` at which the rate falls tenfold. ``random_epochs``
    overrides ``epochs`` for RI-T (the paper's CheXpert: 200 from P, 400 from random init), and
    ``rate_factor`` multiplies the scale's rates (its batch is eight times DomainNet's).
    """

    dataset: str
    metric: Literal["accuracy", "auc"]
    train: int
    test: int
    batch: int
    epochs: int
    steps: tuple[float, ...]
    augmentation: Literal["crop-flip", "resized-crop-flip", "affine", "none"]
    normalisation: Literal["own", "imagenet", "chexpert"]
    mixup: float = 0.7
    dev: int = 0
    random_epochs: int | None = None
    rate_factor: float = 1.0


@dataclass(frozen=True)
class Scale:
    """Everything that a study needs to know; studies take this value, never a name.

    ``rates`` are raw learning rates for this scale's batch, standing for the paper's 0.02 and 0.1.
    ``main_rates`` is the rate of each init that every role and seed runs; ``second_rate_seeds`` says on how
    many seeds a role runs the other one. ``measured`` are fractions of a run at which dev and test are
    evaluated (0 is the untrained network). ``checkpoints`` are the epochs of pre-training that question 5
    fine-tunes from, around the source's own steps (or a reader's own files, see `epoch_of`), at the rates
    ``checkpoint_rates``; ``constant_epochs`` is the length of a second pre-training without steps,
    independent of P, which questions 3 and 5 compare with, and ``constant_checkpoints`` are the epochs of it
    that question 5 fine-tunes from, at P-T's main rate (none: that part is left out). ``judged`` is False
    where a scale only shows that all works.

    Question 1's controls: ``redrawn_seeds`` says on how many seeds a role runs the inits of `CONTROLS`, at
    ``redrawn_rate``, unshuffled and at those of ``redrawn_blocks`` that are among the block sizes; and both
    inits on ``few_images`` training images (those numbers below the role's own), with as many updates as
    ``few_images_epochs`` are on all images (None: as the role trains). ``distance_images`` of each domain
    measure its distance from the source.

    Question 2: ``similarity_images`` caps the test images on which features are compared.

    Question 4: every seed's modules go back to epoch 0. For the first ``whole_seeds`` they also go to others
    of at most ``rewind_epochs`` kept epochs and to ``redraws`` fresh draws, and have a criticality. Paths are
    measured on at most ``path_images`` training images (and as many test images) at ``path_points`` points,
    under ``noise_draws`` draws times ``noise`` of both signs, at the end of the direct one times
    ``end_noise`` too: conv1 for every seed, all modules for the first ``map_seeds``.

    Question 3: ``line_points`` on the paper's lines between two models, both ends included, by role (every
    other one on the other lines), and ``line_outside`` beyond each end; ``partners`` is how many RI-T each
    P-T is paired with; ``same_init_seeds`` RI-T from one random init, and ``control_seeds`` P-T of each
    control (order, head, other source), by role; flatness is measured at ``flat_distances`` (relative; one
    near 0.1) along ``flat_directions`` directions. ``detailed_pairs`` of a kind are followed beyond their
    ends, aligned, and held to the definition of a basin with noise of ``basin_deltas`` (relative to the
    weights' norm).
    """

    name: str
    judged: bool
    network: str
    side: int
    precision: Literal["fp32", "bf16"]
    source: Task
    source_rate: float
    tasks: Mapping[str, Task]
    rates: Mapping[str, float]
    second_rate_seeds: Mapping[str, int]
    block_sizes: tuple[str | int, ...]
    shuffle_epochs: int
    shuffle_seeds: int
    shuffle_second_rate: bool
    checkpoints: tuple[int | str, ...]
    checkpoint_epochs: int
    checkpoint_seeds: int
    constant_epochs: int
    redrawn_seeds: Mapping[str, int]
    redrawn_rate: str
    redrawn_blocks: tuple[str | int, ...]
    few_images: tuple[int, ...]
    few_images_epochs: int | None
    distance_images: int
    similarity_images: int
    rewind_epochs: int
    redraws: int
    path_images: int
    path_points: int
    noise_draws: int
    noise: tuple[float, ...]
    end_noise: tuple[float, ...]
    map_seeds: int
    whole_seeds: int
    line_points: Mapping[str, int]
    line_outside: int
    partners: int
    same_init_seeds: Mapping[str, int]
    control_seeds: Mapping[str, int]
    flat_distances: tuple[float, ...]
    flat_directions: int
    detailed_pairs: int
    basin_deltas: tuple[float, ...]
    checkpoint_rates: tuple[str, ...]
    constant_checkpoints: tuple[int, ...]
    pretrained: str = "train"  # or "shipped", or the path of a safetensors file
    seeds: tuple[int, ...] = (0, 1, 2)
    main_rates: Mapping[str, str] = field(default_factory=lambda: {"P-T": "low", "RI-T": "high"})
    measured: tuple[float, ...] = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 0.8, 1)

    def __post_init__(self) -> None:
        for name in MAPPINGS:  # frozen all the way down
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

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

    def measured_epochs(self, epochs: int) -> tuple[int, ...]:
        """Epochs at which dev and test are evaluated, 0 and the last among them."""
        return tuple(sorted({0, epochs} | {max(1, round(f * epochs)) for f in self.measured if f > 0}))

    def replace(self, **changes) -> Scale:
        """Another value with some fields changed; results of it are neither read from nor written to records.

        Besides the fields themselves: ``epochs`` sets the epochs of every target run (shuffled ones and those
        from checkpoints too), and ``datasets`` maps targets to other data sets, on which both rates are then
        tried. Other names are refused.
        """
        valid = {f.name for f in dataclasses.fields(self)} | {"epochs", "datasets"}
        if unknown := sorted(set(changes) - valid):
            raise TlbookError(f"A scale has no value {unknown[0]!r}; it has {', '.join(sorted(valid))}.")
        epochs, datasets = changes.pop("epochs", None), changes.pop("datasets", {})
        tasks = dict(changes.pop("tasks", self.tasks))
        for role, dataset in datasets.items():
            if role == SOURCE:
                raise TlbookError("Other images can stand for a target, not for the source.")
            self.task(role)
            tasks[role] = dataclasses.replace(tasks[role], dataset=dataset)
            both = changes.get("second_rate_seeds", self.second_rate_seeds)
            changes["second_rate_seeds"] = {**both, role: len(self.seeds)}
        if epochs is not None:
            if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
                raise TlbookError(f"epochs must be a whole number of at least 1, not {epochs!r}.")
            tasks = {r: dataclasses.replace(t, epochs=epochs, random_epochs=None) for r, t in tasks.items()}
            changes = {"shuffle_epochs": epochs, "checkpoint_epochs": epochs} | changes
            changes = {"few_images_epochs": None} | changes
        return dataclasses.replace(self, tasks=tasks, **changes)


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


def _tasks(datasets: tuple[str, str, str, str], shared: dict, xray: dict) -> dict[str, Task]:
    """The four targets: shared values, and what differs on xray (AUC, affine, no mixup, constant rate)."""
    natural = {"metric": "accuracy"} | shared
    chest = natural | {"metric": "auc", "augmentation": "affine", "mixup": 0.0, "steps": ()} | xray
    return {
        role: Task(dataset=dataset, **(chest if role == "xray" else natural))
        for role, dataset in zip(TARGETS, datasets, strict=True)
    }


# CI: shows that everything works and judges nothing; at most 1.8 million image-passes for all five questions.
SMOKE = Scale(
    name="smoke",
    judged=False,
    network="fixup_small8",
    side=32,
    precision="fp32",
    source=Task(
        dataset="embedded/source",
        metric="accuracy",
        train=4000,
        test=600,
        batch=32,
        epochs=12,
        steps=SOURCE_STEPS,
        augmentation="crop-flip",
        normalisation="own",
    ),
    source_rate=0.1,
    tasks=_tasks(
        ("embedded/real", "embedded/clipart", "embedded/quickdraw", "embedded/xray"),
        dict(
            train=160,
            dev=100,
            test=300,
            batch=32,
            epochs=80,
            steps=LATE_STEPS,
            augmentation="crop-flip",
            normalisation="own",
        ),
        xray={},
    ),
    rates={"low": 0.03, "high": 0.1},
    second_rate_seeds={"quickdraw": 1},
    block_sizes=("*", 1, 8, 32),
    shuffle_epochs=24,
    shuffle_seeds=1,
    shuffle_second_rate=False,
    checkpoints=(0, 1, 2, 4, 5, 8, 12),
    checkpoint_epochs=16,
    checkpoint_seeds=1,
    constant_epochs=6,
    redrawn_seeds={"real": 1},
    redrawn_rate="high",
    redrawn_blocks=("*", 8),
    few_images=(20, 40, 80),
    few_images_epochs=10,
    distance_images=300,
    similarity_images=300,
    rewind_epochs=2,
    redraws=1,
    path_images=40,
    path_points=3,
    noise_draws=1,
    noise=(0.25,),
    end_noise=(0.5, 0.125),
    map_seeds=1,
    whole_seeds=1,
    line_points=dict.fromkeys(TARGETS, 5),
    line_outside=1,
    partners=1,
    same_init_seeds={"quickdraw": 3},
    control_seeds={"quickdraw": 2},
    flat_distances=(0.1, 0.3),
    flat_directions=2,
    detailed_pairs=1,
    basin_deltas=(0.5,),
    checkpoint_rates=("low",),
    constant_checkpoints=(4, 5),
)

# Two CPU cores, a few hours for all five questions, in parts; real images.
LAPTOP = Scale(
    name="laptop",
    judged=True,
    network="fixup_small24",
    side=32,
    precision="fp32",
    source=Task(
        dataset="tiny-imagenet",
        metric="accuracy",
        train=100_000,
        test=10_000,
        batch=64,
        epochs=39,
        steps=SOURCE_STEPS,
        augmentation="crop-flip",
        normalisation="own",
        mixup=0.0,
    ),
    source_rate=0.05,
    tasks=_tasks(
        ("pacs/photo", "pacs/cartoon", "pacs/sketch", "chest-xray"),
        dict(
            train=300,
            test=1000,
            batch=32,
            epochs=200,
            steps=LATE_STEPS,
            augmentation="crop-flip",
            normalisation="own",
        ),
        xray={},
    ),
    rates={"low": 0.02, "high": 0.1},
    second_rate_seeds=dict.fromkeys(TARGETS, 3),
    block_sizes=("*", 1, 4, 8, 32),
    shuffle_epochs=60,
    shuffle_seeds=3,
    shuffle_second_rate=True,
    checkpoints=(0, 1, 2, 4, 7, 13, 14, 26, 27, 39),
    checkpoint_epochs=40,
    checkpoint_seeds=3,
    constant_epochs=18,
    redrawn_seeds=dict.fromkeys(TARGETS, 3),
    redrawn_rate="high",
    redrawn_blocks=("*", 8, 32),
    few_images=(50, 100, 200),
    few_images_epochs=None,
    distance_images=1000,
    similarity_images=1000,
    rewind_epochs=4,
    redraws=2,
    path_images=120,
    path_points=5,
    noise_draws=2,
    noise=(0.5, 0.25, 0.125, 0.0625, 0.03125),
    end_noise=(0.354, 0.177, 0.0884, 0.0442, 0.0221, 0.0156),
    map_seeds=1,
    whole_seeds=3,
    line_points=dict.fromkeys(TARGETS, 21),
    line_outside=5,
    partners=2,
    same_init_seeds=dict.fromkeys(TARGETS, 3),
    control_seeds=dict.fromkeys(TARGETS, 3),
    flat_distances=(0.02, 0.05, 0.1, 0.2, 0.5),
    flat_directions=5,
    detailed_pairs=3,
    basin_deltas=(0.1, 0.5),
    checkpoint_rates=RATES,
    constant_checkpoints=(13, 14, 18),
    pretrained="shipped",
)

# One GPU of the H100 class, in parts of minutes; the same images at twice the side, the paper's network.
GPU = LAPTOP.replace(
    name="gpu",
    network="fixup_resnet50_small",
    side=64,
    source=dataclasses.replace(
        LAPTOP.source, batch=256, epochs=60, augmentation="resized-crop-flip", mixup=0.7
    ),
    source_rate=0.1,
    tasks={
        role: dataclasses.replace(task, augmentation="resized-crop-flip" if role != "xray" else "affine")
        for role, task in LAPTOP.tasks.items()
    },
    rates={"low": 0.0025, "high": 0.0125},
    block_sizes=("*", 1, 2, 4, 8, 16, 64),
    checkpoints=(0, 1, 2, 5, 10, 19, 20, 21, 39, 40, 41, 59, 60),
    constant_epochs=30,
    redrawn_blocks=("*", 16, 64),
    similarity_images=1000,
    rewind_epochs=10,
    redraws=3,
    path_images=300,
    path_points=9,
    noise_draws=3,
    map_seeds=3,
    constant_checkpoints=(20, 21, 30),
    pretrained="train",
)

# The paper's own setting (section 3 and the official configuration): many GPU hours.
PAPER = Scale(
    name="paper",
    judged=True,
    network="fixup_resnet50",
    side=224,
    precision="fp32",
    source=Task(
        dataset="imagenet",
        metric="accuracy",
        train=1_281_167,
        test=50_000,
        batch=256,
        epochs=90,
        steps=SOURCE_STEPS,
        augmentation="resized-crop-flip",
        normalisation="imagenet",
    ),
    source_rate=0.1,
    tasks=_tasks(
        ("domainnet/real", "domainnet/clipart", "domainnet/quickdraw", "chexpert"),
        dict(
            train=50_000,
            test=50_000,
            batch=32,
            epochs=100,
            steps=PAPER_STEPS,
            augmentation="resized-crop-flip",
            normalisation="imagenet",
        ),
        xray=dict(batch=256, epochs=200, random_epochs=400, rate_factor=8.0, normalisation="chexpert"),
    ),
    rates={"low": 0.02 / 8, "high": 0.1 / 8},
    second_rate_seeds=dict.fromkeys(TARGETS, 3),
    block_sizes=("*", 1, 2, 4, 7, 8, 14, 16, 28, 32, 56, 112, 224),
    shuffle_epochs=100,
    shuffle_seeds=3,
    shuffle_second_rate=True,
    checkpoints=(0, 1, 2, 5, 10, 29, 30, 31, 59, 60, 61, 89, 90),
    checkpoint_epochs=100,
    checkpoint_seeds=3,
    constant_epochs=45,
    redrawn_seeds=dict.fromkeys(TARGETS, 3),
    redrawn_rate="high",
    redrawn_blocks=("*", 56, 224),
    few_images=(1_000, 5_000, 20_000),
    few_images_epochs=None,
    distance_images=2000,
    similarity_images=20_000,
    rewind_epochs=10,
    redraws=3,
    path_images=1000,
    path_points=11,
    noise_draws=5,
    noise=(0.5, 0.4, 0.3, 0.2, 0.1, 0.05),
    end_noise=(0.354, 0.25, 0.177, 0.125, 0.0884, 0.0625, 0.0442, 0.0312, 0.0221, 0.0156),
    map_seeds=1,
    whole_seeds=3,
    line_points=dict.fromkeys(TARGETS, 50) | {"xray": 20},
    line_outside=5,
    partners=2,
    same_init_seeds=dict.fromkeys(TARGETS, 3),
    control_seeds=dict.fromkeys(TARGETS, 3),
    flat_distances=(0.02, 0.05, 0.1, 0.2, 0.5),
    flat_directions=5,
    detailed_pairs=3,
    basin_deltas=(0.1, 0.5),
    checkpoint_rates=RATES,
    constant_checkpoints=(30, 31, 45),
)

SCALES = {scale.name: scale for scale in (SMOKE, LAPTOP, GPU, PAPER)}


def get(name: str) -> Scale:
    """The scale of that name; an unknown name is refused, naming those that exist."""
    if name not in SCALES:
        raise TlbookError(f"There is no scale {name!r}; choose from {', '.join(SCALES)}.")
    return SCALES[name]
