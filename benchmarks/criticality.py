"""How much faster are variants of one module when only what lies behind it is computed again?

    python benchmarks/criticality.py [--quick]

Compared, over the same images, for each module alone and for all of Figure 5 (modules and whole stages):

- full: a forward pass of the whole network for each variant (`suffix.plainly`);
- ours: `suffix.evaluate`, the one pass in front of all variants included.

Weights are drawn, which takes as long as trained ones. The largest difference of logits, and the memory that
a batch's activations take at most, stand beside the seconds of the processor.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from pairs import RATIOS, faster, in_turns

from tlbook import models
from tlbook.questions.criticality.method import criticality, suffix
from tlbook.training import loop

BATCH = 512  # as in every evaluation of the package


def drawn(network: str) -> suffix.Chain:
    """A network moved off the zeros that Fixup begins with."""
    torch.manual_seed(0)
    model = models.build(network, 7).to(memory_format=torch.channels_last).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.02 * torch.randn_like(value))
    return suffix.chain(model)


def compare(name: str, chain: suffix.Chain, batches: list[torch.Tensor], changes: list, rounds: int) -> None:
    """One line of the table: the seconds that logits of all changes take, either way."""
    logits = {}

    def full() -> None:
        logits["full"] = [suffix.plainly(chain, batches, change) for change in changes]

    def ours() -> None:
        logits["ours"] = list(suffix.evaluate(chain, batches, dict(enumerate(changes))).values())

    seconds = in_turns({"full": full, "ours": ours}, rounds, time.process_time)
    differ = max(float((a - b).abs().max()) for a, b in zip(*logits.values(), strict=True))
    changed = {chain.first_changed(change) for change in changes}
    read = [each.inputs[0] for each in suffix.walk(chain, batches[:1]) if each.module in changed]
    kept = max(inputs.numel() * inputs.element_size() for inputs in read) / 2**20
    full_s, ours_s = (statistics.median(each) for each in seconds.values())
    ratio = faster(seconds["ours"], seconds["full"])
    print(f"{name:<16}{full_s:>9.3f}{ours_s:>9.3f}{differ:>12.1e}{kept:>10.1f}   {ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="fixup_small24", choices=models.networks())
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--variants", type=int, default=6, help="as many as laptop's Figure 5 has")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="40 images, 2 variants, 1 round: does it work?")
    given = parser.parse_args()
    if given.quick:
        given.images, given.variants, given.rounds = 40, 2, 1
    loop.prepare()
    torch.set_num_threads(given.threads)
    chain = drawn(given.network)
    images = torch.randn(given.images, 3, given.side, given.side)
    batches = [batch.contiguous(memory_format=torch.channels_last) for batch in images.split(BATCH)]
    others = [
        {name: v.detach() + 0.02 * torch.randn_like(v) for name, v in chain.parameters.items()}
        for _ in range(given.variants)
    ]

    def changes(groups) -> list:
        return [criticality.part(chain, other, modules) for modules in groups for other in others]

    print(f"{given.network}, {given.images} images of {given.side} px, {given.variants} variants")
    print(f"torch {torch.__version__}, {given.threads} thread(s); faster: {RATIOS}\n")
    print(f"{'module':<16}{'full s':>9}{'ours s':>9}{'difference':>12}{'kept MiB':>10}   faster")
    for module in chain.modules:
        compare(module, chain, batches, changes([(module,)]), given.rounds)
    figure_5 = dict.fromkeys(criticality.groups(chain).values())  # a stage of one block is that block
    compare("all of Figure 5", chain, batches, changes(figure_5), given.rounds)


if __name__ == "__main__":
    main()
