"""How much faster are variants of one module when only what lies behind it is computed again?

    python benchmarks/criticality.py [RUNS] [--quick]

Prints one table: for each module alone, for Figure 5's modules, and for Figure 5's modules and whole stages
(where a stage of one block is computed once), the time of a full forward pass per variant and of suffix
evaluation, over the same images. Times alternate within one run; ratios are medians over pairs. The largest
difference of logits, and the memory that a batch's activations take at most, stand beside them. RUNS is a
folder of finished runs (the newest one of the network gives its weights); without it the weights are drawn,
which takes as long. Nothing else is needed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from tlbook import models
from tlbook.questions.criticality.method import criticality, suffix
from tlbook.training import loop as train

CLASSES = 7
BATCH = 512  # as in every evaluation of the package


def main() -> None:
    """Read the options, time, print."""
    options = _options()
    train.prepare()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    chain = suffix.chain(_model(options).to(memory_format=torch.channels_last).eval())
    images = torch.randn(options.images, 3, options.side, options.side)
    batches = [b.contiguous(memory_format=torch.channels_last) for b in images.split(BATCH)]
    others = [_moved(chain) for _ in range(options.variants)]
    print(f"{options.network}, {options.images} images of {options.side} px, {options.variants} variants")
    print(f"{torch.__version__}, {torch.get_num_threads()} thread(s), {options.repeats} pairs; seconds\n")
    print(f"{'module':<16}{'full':>9}{'suffix':>9}{'ratio':>8}{'difference':>12}{'kept MiB':>10}")
    modules = [(module,) for module in chain.modules]
    stages = list(criticality.groups(chain).values())
    lines = {module: [(module,)] for module in chain.modules} | {"Figure 5": modules, "with stages": stages}
    for name, groups in lines.items():
        _compare(name, chain, batches, groups, others, options.repeats)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="?", help="folder of finished runs")
    parser.add_argument("--network", default="fixup_small24", choices=models.networks())
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--variants", type=int, default=6, help="as many as laptop's Figure 5 has")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few images, variants and pairs")
    options = parser.parse_args()
    if options.quick:
        options.images, options.variants, options.repeats = 200, 6, 3
    return options


def _model(options: argparse.Namespace) -> torch.nn.Module:
    """A network with a run's weights, or drawn ones moved off the zeros that Fixup begins with."""
    files = sorted(Path(options.runs).glob("*/checkpoints/epoch-*.safetensors")) if options.runs else []
    for file in reversed(sorted(files, key=lambda f: f.stat().st_mtime)):
        state = models.load(file)
        try:
            model = models.build(options.network, models.classes(options.network, state))
            model.load_state_dict(state)
        except (RuntimeError, KeyError):
            continue
        return model
    model = models.build(options.network, CLASSES)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.02 * torch.randn_like(value))
    return model


def _moved(chain: suffix.Chain) -> dict[str, Tensor]:
    """Other weights for the whole network."""
    return {name: v.detach() + 0.02 * torch.randn_like(v) for name, v in chain.parameters.items()}


Group = tuple[str, ...]  # modules that change together


def _full(chain: suffix.Chain, batches: list[Tensor], groups: list[Group], others: list) -> list[Tensor]:
    """A forward pass of the whole network for each variant; logits by group and variant."""
    found = []
    with torch.no_grad():
        for group in groups:
            for other in others:
                with suffix.replaced(chain, criticality.part(chain, other, group)):
                    found.append(torch.cat([chain.model(batch) for batch in batches]))
    return found


def _suffix(chain: suffix.Chain, batches: list[Tensor], groups: list[Group], others: list) -> list[Tensor]:
    """What the package does, the one pass in front of all variants included; in the same order."""
    variants: dict[str, list[Mapping[str, Tensor]]] = {}
    where: dict[Group, tuple[str, int]] = {}
    for group in dict.fromkeys(groups):
        own = variants.setdefault(group[0], [])
        where[group] = group[0], len(own)
        own.extend(criticality.part(chain, other, group) for other in others)
    found = suffix.evaluate(chain, batches, variants)
    return [found[where[g][0]][where[g][1] + number] for g in groups for number in range(len(others))]


def _compare(
    name: str, chain: suffix.Chain, batches: list[Tensor], groups: list[Group], others: list, repeats: int
) -> None:
    """One line of the table."""
    given = chain, batches, groups, others
    differ = max(float((a - b).abs().max()) for a, b in zip(_full(*given), _suffix(*given), strict=True))
    pairs = [(_seconds(_full, *given), _seconds(_suffix, *given)) for _ in range(repeats)]
    full, short = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    ratio = statistics.median(a / b for a, b in pairs)
    starts = {group[0] for group in groups}
    kept = max(s.bytes for s in suffix.walk(chain, batches[:1]) if s.module in starts)
    print(f"{name:<16}{full:>9.3f}{short:>9.3f}{ratio:>8.2f}{differ:>12.1e}{kept / 2**20:>10.1f}")


def _seconds(work: Callable, *given: object) -> float:
    """Processor seconds, which other programs on the machine change less than wall seconds."""
    started = time.process_time()
    work(*given)
    return time.process_time() - started


if __name__ == "__main__":
    main()
