"""Question 5: which pre-training checkpoint to use? (paper, section 3.5, Figure 7)"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import pandas as pd

from tlbook.errors import TlbookError
from tlbook.questions import grid
from tlbook.questions.checkpoints.method import behind_last, saturation
from tlbook.questions.grid import long
from tlbook.questions.setup import study as setup
from tlbook.scales import SOURCE, Scale, epoch_of
from tlbook.training.executors import ensure_all
from tlbook.training.loop import rate_factor
from tlbook.training.runs import ensure
from tlbook.training.specs import Checkpoint, Init, RunSpec, unique
from tlbook.vocabulary import at_end


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """All runs of the question: both pre-trainings where they must be trained, and what starts from them.

    A list of checkpoints that makes no sense, and files that no run could start from, are refused.
    """
    planned = [spec for _, spec in _finetuned(scale, targets, seeds)]
    planned += [spec for _, spec in _constant(scale, targets, seeds)]
    second = [grid.constant_source(scale)] if scale.checkpoints.constant_starts else []
    return unique([*grid.pretraining(scale), *second, *planned])


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The question's tables (see `tlbook.tables`); trains what is missing. ``how`` goes to `ensure_all`.

    Tables without rows are left out: those of the constant rate where a scale has no checkpoints of it, and
    the fits where fewer than three checkpoints have a known source accuracy.
    """
    specs = runs(scale, targets, seeds)
    grid.refuse_misfits(specs)
    grid.refuse_few(scale, [*targets, *([SOURCE] if SOURCE in {spec.role for spec in specs} else [])])
    ensure_all(specs, **how)
    tuned = [(keys, ensure(spec).history()) for keys, spec in _finetuned(scale, targets, seeds)]
    finetuned = long((keys, _ended(history)) for keys, history in tuned)
    source = source_accuracy(scale)
    fits, curves = saturation(finetuned, source)
    found = {
        "finetuned": finetuned,
        "source_accuracy": source,
        "tuning_curves": _training(tuned, scale),
        "constant_rate": _constant_rate(scale, targets, seeds),
        "behind_last": behind_last(finetuned),
        "saturation": fits,
        "saturation_curve": curves,
    }
    return {name: frame for name, frame in found.items() if len(frame)}


def starts(scale: Scale) -> dict[int, Init]:
    """Where fine-tuning starts, by epochs of pre-training in rising order; a senseless list is refused."""
    if not scale.checkpoints.starts:
        raise TlbookError("There is no checkpoint to fine-tune from; name at least one.")
    files = [entry for entry in scale.checkpoints.starts if isinstance(entry, str)]
    epochs = [entry for entry in scale.checkpoints.starts if entry and not isinstance(entry, str)]
    if files and epochs:
        raise TlbookError(f"Checkpoints are epochs of P or files, not both: {epochs[0]} and {files[0]}.")
    found: dict[int, Init] = {}
    for entry in sorted(scale.checkpoints.starts, key=epoch_of):
        if epoch_of(entry) in found:
            raise TlbookError(f"Two checkpoints stand for epoch {epoch_of(entry)} of pre-training.")
        found[epoch_of(entry)] = grid.checkpoint(scale, entry)
    return found


def whole(scale: Scale) -> int:
    """The epochs of all pre-training: P's own, or of the last of a reader's files."""
    own = any(isinstance(entry, str) for entry in scale.checkpoints.starts)
    return max(map(epoch_of, scale.checkpoints.starts)) if own else scale.source.epochs


def _finetuned(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[dict, RunSpec]]:
    """Figure 7: every checkpoint at the scale's rates."""
    begin = starts(scale)
    for role in targets:
        for epoch, init in begin.items():
            for rate in scale.checkpoints.rates:
                for seed in seeds[: scale.checkpoints.seeds]:
                    keys = {"role": role, "checkpoint": epoch, "checkpoint_fraction": epoch / whole(scale)}
                    yield keys | {"rate": rate, "seed": seed}, run_from(scale, role, init, rate, seed)


def _constant(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[dict, RunSpec]]:
    """The step's part: from epochs of the second pre-training, at P-T's main rate."""
    rate = scale.main_rates["P-T"]
    for epoch in scale.checkpoints.constant_starts:
        if epoch > scale.constant_epochs:
            there = f"it has 0 to {scale.constant_epochs}"
            raise TlbookError(f"There is no epoch {epoch} of pre-training at a constant rate; {there}.")
        init = Init("from", Checkpoint(grid.constant_source(scale).id, epoch))
        for role in targets:
            for seed in seeds[: scale.checkpoints.seeds]:
                keys = {"role": role, "checkpoint": epoch, "checkpoint_fraction": epoch / whole(scale)}
                yield keys | {"rate": rate, "seed": seed}, run_from(scale, role, init, rate, seed)


def run_from(scale: Scale, role: str, init: Init, rate: str, seed: int) -> RunSpec:
    """A run from a checkpoint, with only its end kept, and measured on dev and test.

    Where it is a run of Figure 2 too (as long, and from P or from that run's random weights), it is that run,
    with all that is kept and measured there: whichever question comes first trains it for both.
    """
    drawn = scale.checkpoints.random_epochs if init.kind == "random" else None
    epochs = drawn or scale.checkpoints.epochs
    spec = grid.target(scale, role, init, rate, seed, epochs=epochs, final_only=True)
    task = scale.task(role)
    if spec.epochs in (task.epochs, task.random_epochs):
        for figure2 in (grid.p_t(scale, role, rate, seed), grid.ri_t(scale, role, rate, seed)):
            if figure2 == spec:  # specs are equal where their ids are
                return figure2
    return dataclasses.replace(spec, measured=(spec.epochs,))


def _ended(history: pd.DataFrame) -> pd.DataFrame:
    return at_end(history)[["split", "metric", "value"]]


def _training(tuned: list[tuple[dict, pd.DataFrame]], scale: Scale) -> pd.DataFrame:
    """Each run's training metric by epoch."""
    parts = []
    for keys, history in tuned:
        own = history[(history.split == "train") & (history.metric == scale.metric[keys["role"]])]
        keys = {name: keys[name] for name in ("role", "checkpoint", "rate", "seed")}
        parts.append((keys, own[["epoch", "metric", "value"]]))
    return long(parts)


def _constant_rate(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Fine-tuned from the second pre-training, and that one's own test accuracy, at every epoch."""
    if not scale.checkpoints.constant_starts:
        return pd.DataFrame()
    history = ensure(grid.constant_source(scale)).history()
    own = history[(history.split == "test") & (history.metric == "accuracy")]
    own = own.rename(columns={"epoch": "checkpoint"}).assign(role=SOURCE, rate="-", seed=0)
    own["checkpoint_fraction"] = own.checkpoint / whole(scale)
    tuned = _constant(scale, targets, seeds)
    found = long((keys, _ended(ensure(spec).history())) for keys, spec in tuned)
    return pd.concat([found, own[found.columns]], ignore_index=True)


def source_accuracy(scale: Scale) -> pd.DataFrame:
    """The table source_accuracy: of every epoch of pre-training; NaN of a reader's own files."""
    if any(isinstance(entry, str) for entry in scale.checkpoints.starts):
        known = pd.DataFrame({"checkpoint": list(starts(scale)), "value": float("nan")})
        known = known.assign(split="test", metric="accuracy")
    else:
        known = setup.source_accuracy(scale).rename(columns={"epoch": "checkpoint"})
        steps = tuple(round(fraction * scale.source.epochs) for fraction in scale.source.steps)
        rates = [scale.source_rate * rate_factor(epoch, steps) for epoch in known.checkpoint]
        rates = known.assign(split="train", metric="rate", value=rates)
        known = pd.concat([known.assign(split="test", metric="accuracy"), rates], ignore_index=True)
    known["checkpoint_fraction"] = known.checkpoint / whole(scale)
    return known[["checkpoint", "checkpoint_fraction", "split", "metric", "value"]]
