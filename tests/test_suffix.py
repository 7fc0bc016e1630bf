"""Suffix evaluation against the plain version beside it, for every network and module."""

import copy

import pytest
import torch
from torch import nn

from tlbook import models
from tlbook.errors import TlbookError
from tlbook.questions.criticality.method import suffix


@pytest.fixture(scope="module", params=["fixup_small8", "fixup_resnet50_small"])
def trained(request):
    """A network away from its init (where whole branches are 0), as a chain, and images in two batches."""
    torch.manual_seed(0)
    model = models.build(request.param, 5)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return suffix.chain(model), torch.randn(7, 3, 16, 16).split(4)


def changed(chain, module, count=3):
    """Variants of one module: noise on each of its parameters."""
    state = chain.model.state_dict()
    names = sorted(chain.members[module])
    generator = torch.Generator().manual_seed(1)
    return [
        {name: state[name] + 0.1 * torch.randn(state[name].shape, generator=generator) for name in names}
        for _ in range(count)
    ]


def test_the_plain_version_is_a_network_with_those_weights(trained):
    chain, batches = trained
    before = {name: value.clone() for name, value in chain.model.state_dict().items()}
    (weights,) = changed(chain, "layer2.0", 1)
    own = copy.deepcopy(chain.model)
    own.load_state_dict(before | weights)
    with torch.no_grad():
        torch.testing.assert_close(suffix.plainly(chain, batches, weights), own(torch.cat(batches)))
    with pytest.raises(RuntimeError, match="size mismatch"):
        suffix.plainly(chain, batches, {"fc.bias": torch.zeros(2)})
    assert all(torch.equal(value, before[name]) for name, value in chain.model.state_dict().items())


def agree(chain, batches, variants):
    """The fast version gives what the plain one gives."""
    found = suffix.evaluate(chain, batches, variants)
    assert list(found) == list(variants)
    for name, weights in variants.items():
        plain = suffix.plainly(chain, batches, weights)
        torch.testing.assert_close(found[name], plain, rtol=1e-5, atol=1e-5)


def test_suffix_and_plain_evaluation_agree_at_every_module(trained):
    chain, batches = trained
    assert chain.modules == tuple(chain.model.members())
    every = {(m, n): weights for m in chain.modules for n, weights in enumerate(changed(chain, m, 2))}
    agree(chain, batches, every | {"itself": {}})


def test_a_variant_may_change_several_modules_and_what_belongs_to_none(trained):
    chain, batches = trained
    behind = {}
    for module in chain.modules[2:]:
        behind |= changed(chain, module, 1)[0]
    shifted = {"bias1": torch.full((1,), 0.3)}
    agree(chain, batches, {"several": behind, "stem's bias": shifted, "both": behind | shifted})


@pytest.mark.parametrize("together", [1, 2, 100])
def test_how_many_go_together_changes_nothing(trained, together):
    chain, batches = trained
    module = chain.modules[1]
    own = next(s for s in suffix.walk(chain, batches) if s.module == module)
    variants = changed(chain, module, 5)
    torch.testing.assert_close(own.logits(variants, together), own.logits(variants), rtol=1e-5, atol=1e-5)


def test_the_network_is_left_as_it_was_even_after_a_refusal(trained):
    chain, batches = trained
    before = {name: value.clone() for name, value in chain.model.state_dict().items()}
    suffix.evaluate(chain, batches, dict(enumerate(changed(chain, "conv1"))))
    with pytest.raises(TlbookError, match="no parameter 'conv1.weight' of shape"):
        suffix.evaluate(chain, batches, {"wrong": {"conv1.weight": torch.zeros(2)}})
    with pytest.raises(RuntimeError, match="stop"), suffix.replaced(chain, {"bias1": torch.ones(1)}):
        raise RuntimeError("stop")
    after = chain.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_only_what_lies_behind_a_module_is_computed(trained):
    """Blocks before the changed one run once in all, the others once a variant."""
    chain, batches = trained
    calls = dict.fromkeys(chain.modules, 0)

    def counting(module, step):
        def run(x):
            calls[module] += 1
            return step(x)

        return run

    counted = suffix.Chain(chain.model, {m: counting(m, step) for m, step in chain.steps.items()})
    middle = chain.modules[len(chain.modules) // 2]
    variants = dict(enumerate(changed(chain, middle, 4)))
    suffix.evaluate(counted, batches[:1], variants | {"several": variants[0] | {"fc.bias": torch.zeros(5)}})
    before = chain.modules[: chain.modules.index(middle)]
    assert {calls[module] for module in before} == {1}
    assert calls["fc"] == calls[middle] == 5


def test_memory_is_that_of_one_boundary(trained):
    chain, batches = trained
    held = {each.module: sum(batch.numel() for batch in each.inputs) for each in suffix.walk(chain, batches)}
    assert held["conv1"] == 7 * 3 * 16 * 16
    assert held["fc"] % (7 * chain.model.fc.in_features) == 0 and held["fc"] < held["layer2.0"]


def test_any_network_can_be_a_chain():
    """Linear modules, whose product is known."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 2, bias=False))
    chain = suffix.Chain(model, {"0": model[0], "1": model[1]})
    images, other = torch.randn(6, 4), torch.randn(3, 4)
    found = suffix.evaluate(chain, [images], {"other": {"0.weight": other}})["other"]
    torch.testing.assert_close(found, images @ other.T @ model[1].weight.T)
