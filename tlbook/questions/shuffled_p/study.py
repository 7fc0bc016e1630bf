"""What does a P of shuffled images give? (our addition to question 1)

Its source is P's with the blocks in disorder, one permutation for all images; it is trained by P's protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from tlbook.questions import grid
from tlbook.scales import INITS, RATES, SOURCE, Scale
from tlbook.training.executors import ensure_all
from tlbook.training.runs import ensure
from tlbook.training.specs import RunSpec, unique

MEAN_VAR = "MeanVar-T"


def shuffled(scale: Scale, init: str) -> Scale:
    """The scale whose P is the shuffled one of an init, "Pixels-T" or "Blocks-T"."""
    block, epochs = scale.further.shuffled[init], scale.further.shuffled_epochs
    return scale.replace(pretrained="train", source_block=block, source={"epochs": epochs})


def possible(scale: Scale) -> bool:
    """Whether the source's images are here, where a reader's own stand for a target."""
    return not (scale.own_images and grid.lacks_source(scale))


def planned(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[dict, RunSpec]]:
    """Every init on whole images, and on images shuffled in blocks: from a shuffled P in those that it saw,
    from the others in both sizes."""
    blocks = scale.further.shuffled
    for role in targets if possible(scale) else ():
        for seed in seeds[: scale.further.seeds.get(role, 0)]:
            for init in (*INITS, MEAN_VAR, *blocks):
                its = shuffled(scale, init) if init in blocks else scale
                sizes = [blocks[init]] if init in blocks else list(blocks.values())
                sizes = sizes if scale.shuffles.seeds.get(role, 0) else []
                seen = (
                    0.0 if init == "RI-T" else grid.block_fraction(blocks.get(init, scale.side), scale.side)
                )
                for rate in _rates(scale, init):
                    for size in (scale.side, *sizes):
                        how = {"final_only": init in blocks} if size == scale.side else {"block_size": size}
                        kind = "P-T" if init in blocks else init
                        keys = {
                            "role": role,
                            "init": init,
                            "source_fraction": seen,
                            "rate": rate,
                            "seed": seed,
                        }
                        keys |= {"block_size": str(size)}
                        keys |= {"block_fraction": grid.block_fraction(size, scale.side)}
                        yield keys, grid.of_init(its, kind, role, rate, seed, **how)


def _rates(scale: Scale, init: str) -> Sequence[str]:
    """Both, where the scale runs both on shuffled images; the mean-var init has one."""
    if init == MEAN_VAR:
        return (scale.controls.rate,)
    return RATES if scale.shuffles.second_rate else (scale.main_rates.get(init, scale.main_rates["P-T"]),)


def runs(scale: Scale, targets: Sequence[str], seeds: Sequence[int]) -> list[RunSpec]:
    """P if we train it, the shuffled P's, and what is trained from all of them."""
    targets = [role for role in targets if scale.further.seeds.get(role, 0)]
    if not targets or not possible(scale):
        return []
    sources = [grid.source(shuffled(scale, init)) for init in scale.further.shuffled]
    ours = (spec for _, spec in planned(scale, targets, seeds))
    return unique([*grid.pretraining(scale), *sources, *ours])


def tables(scale: Scale, targets: Sequence[str], seeds: Sequence[int], **how) -> dict[str, pd.DataFrame]:
    """The study's tables (see `tlbook.tables`), of those targets that the scale studies here; none where
    there is no source. Trains what is missing; ``how`` goes to `ensure_all`."""
    grid.refuse_few(scale, targets)
    needed = runs(scale, targets, seeds)
    ensure_all(needed, **how)
    if not needed:
        return {}
    ends = grid.long((keys, grid.final_rows(spec)) for keys, spec in planned(scale, targets, seeds))
    ends = ends[~ends.metric.str.endswith("loss")].drop(columns="epoch")
    return {"from_shuffled": ends, "shuffled_sources": sources(scale)}


def sources(scale: Scale) -> pd.DataFrame:
    """The table shuffled_sources: how the shuffled P's came to know their source."""
    parts = []
    for init, block in scale.further.shuffled.items():
        keys = {"init": init, "source_fraction": grid.block_fraction(block, scale.side)}
        parts.append((keys, ensure(grid.source(shuffled(scale, init))).history()))
    table = grid.long(parts)
    return table.assign(chance=100 / len(grid.identity(scale, SOURCE).classes))
