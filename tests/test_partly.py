"""Runs that start partly from P, and runs that part from another: to the bit what they are at both ends."""

import dataclasses

import pytest
import torch

from tlbook import data, models
from tlbook.questions import grid
from tlbook.training import runs
from tlbook.training.loop import initial, stream, train
from tlbook.training.specs import Init

BODY = ("conv1", "layer1.0", "layer2.0", "layer3.0", "layer4.0")


@pytest.fixture(scope="module")
def p(tiny):
    """Weights with values of their own everywhere, scalars too."""
    torch.manual_seed(7)
    state = models.build(tiny.network, 9).state_dict()
    return {name: torch.randn_like(value) for name, value in state.items()}


def partly(scale, modules, seed=3):
    start = Init("from", grid.pretrained(scale), modules)
    return grid.target(scale, "quickdraw", start, "low", seed, final_only=True)


def state(spec, weights):
    return initial(spec, weights).model.state_dict()


def test_all_modules_are_p_t_and_none_is_ri_t_to_the_bit(tiny, p):
    p_t, ri_t = grid.p_t(tiny, "quickdraw", "low", 3), grid.ri_t(tiny, "quickdraw", "low", 3)
    every = state(partly(tiny, BODY), p)
    assert all(torch.equal(value, every[name]) for name, value in state(p_t, p).items())
    random = state(ri_t, None)
    for modules in (BODY[:2], BODY[2:]):
        some = state(partly(tiny, modules), p)
        for name, value in some.items():
            module = next((m for m in (*BODY, "fc") if name.startswith(f"{m}.")), "")
            from_p = module in modules or module == ""
            assert torch.equal(value, p[name] if from_p else random[name]), name


def test_statistics_of_a_module_go_with_it():
    """A network with batch norm, of which `members` names the parameters only."""
    import toy_family  # noqa: F401  a family of the tests'

    name = next(name for name, family in models.networks().items() if family.__module__ == "toy_family")
    network = models.build(name, 3)
    first, *others = [module for module in network.members() if module != network.head]
    found = models.outside(network, [first])
    below = {key for key in network.state_dict() if any(key.startswith(f"{other}.") for other in others)}
    assert below <= set(found) and not any(key.startswith((f"{first}.", f"{network.head}.")) for key in found)


def test_what_cannot_be_transferred_is_refused(tiny, p, refused):
    where = grid.pretrained(tiny)
    refused("may start 'from' weights", Init, "from", where, ())
    refused("may start 'from' weights", Init, "mean_var", where, ("conv1",))
    refused("no module 'fc' to transfer; it has conv1, layer1.0", state, partly(tiny, ("fc",)), p)


def test_ids_name_what_is_transferred_and_the_parting(tiny):
    plain = grid.ri_t(tiny, "quickdraw", "low", 3)
    specs = [plain, *(dataclasses.replace(plain, parted=parted) for parted in ((1, 9), (2, 9), (1, 8)))]
    specs += [grid.p_t(tiny, "quickdraw", "low", 3), partly(tiny, BODY[:1]), partly(tiny, BODY[:2])]
    assert len({spec.id for spec in specs}) == len(specs)
    assert not {"parted"} & set(plain.identity) and "modules" not in specs[4].identity["init"]
    assert len({spec.label for spec in specs}) == len(specs)


def trained(spec):
    """Its weights after each epoch."""
    kept = []
    after = lambda state: kept.append({n: v.clone() for n, v in state.model.state_dict().items()})  # noqa: E731
    with runs.threads(1):
        train(spec, data.load(spec.images), initial(spec, None), after)
    return kept


def equal(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_run_that_parts_is_the_same_up_to_there_and_then_has_the_other_order(tiny):
    """Against runs in the plain order: parted at once it is the other run, after the last epoch the first."""
    first = grid.ri_t(tiny, "quickdraw", "high", 3, init_seed=3, head_seed=3)
    other = grid.ri_t(tiny, "quickdraw", "high", 3, init_seed=3, head_seed=3, order_seed=99)
    one, two = trained(first), trained(other)
    assert equal(one[0], two[0]) and not any(map(equal, one[1:], two[1:]))
    for epoch in (1, 2, 3):
        parted = trained(dataclasses.replace(first, parted=(epoch, 99)))
        assert [equal(a, b) for a, b in zip(one, parted, strict=True)] == [k <= epoch for k in range(4)]
    spec = dataclasses.replace(first, parted=(2, 99))
    assert [spec.order_seed_of(epoch) for epoch in (1, 2, 3)] == [3, 3, 99]
    drawn = [stream("order", spec.order_seed_of(3), 3), stream("order", other.order_seed_of(3), 3)]
    assert drawn[0].integers(2**40) == drawn[1].integers(2**40)


@pytest.mark.parametrize("parted", [(0, 9), (1.5, 9), (1, -1), (1,), [1, 9]])
def test_a_parting_that_is_none_is_refused(tiny, parted, refused):
    spec = grid.ri_t(tiny, "quickdraw", "high", 3)
    refused("parted must be an epoch of at least 1 and a seed", dataclasses.replace, spec, parted=parted)


def test_a_parted_run_is_kept_with_its_parting(tiny):
    spec = dataclasses.replace(grid.ri_t(tiny, "quickdraw", "high", 3, final_only=True), parted=(1, 99))
    whole = runs.ensure(spec).weights("final")
    assert equal(whole, trained(spec)[-1])
    noted = runs.find(spec.id).spec
    assert noted["identity"]["parted"] == [1, 99] and "parted" not in noted["beside"]
