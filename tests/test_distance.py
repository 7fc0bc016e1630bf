"""Distances of weights: by hand, and against one flat vector."""

import pytest
import torch

from tlbook.models import build
from tlbook.questions.differences.method import distance

NETWORK = "fixup_small8"


def net(seed, classes=5, network=NETWORK):
    torch.manual_seed(seed)
    return build(network, classes).state_dict()


@pytest.fixture(scope="module")
def rows():
    first, second, p = net(0), net(1), net(2, classes=9)
    of_p = distance.norms(NETWORK, p)
    return {
        "states": (first, second, p),
        "pair": {
            (r["module"], r["metric"]): r["value"] for r in distance.distances(NETWORK, first, second, of_p)
        },
        "with p": {
            (r["module"], r["metric"]): r["value"]
            for r in distance.distances(NETWORK, first, p, of_p, head=False)
        },
    }


def flat(state, prefix=""):
    return torch.cat([v.double().flatten() for name, v in state.items() if name.startswith(prefix)])


def test_the_root_is_the_l2_of_all_weights(rows):
    first, second, _ = rows["states"]
    moved = flat(first) - flat(second)
    assert rows["pair"]["all", "l2"] == pytest.approx(moved.norm().item())
    assert rows["pair"]["all", "l2_per_root"] == pytest.approx(moved.square().mean().sqrt().item())
    names = [name for name in first if not name.startswith("fc")]
    body = sum((first[name] - second[name]).double().square().sum() for name in names).sqrt().item()
    assert rows["pair"]["body", "l2"] == pytest.approx(body)


def test_modules_and_their_sum(rows):
    first, second, p = rows["states"]
    modules = ("conv1", "layer1.0", "layer2.0", "layer3.0", "layer4.0", "fc")
    own = {name: (flat(first, name + ".") - flat(second, name + ".")).norm().item() for name in modules}
    assert {name: rows["pair"][name, "l2"] for name in modules} == pytest.approx(own)
    between = sum(abs(first[name] - second[name]).item() for name in ("bias1", "bias2"))
    assert rows["pair"]["all", "l2_sum"] == pytest.approx(sum(own.values()) + between)
    assert rows["pair"]["all", "l2_sum"] > rows["pair"]["all", "l2"]
    relative = own["layer3.0"] / flat(p, "layer3.0.").norm().item()
    assert rows["pair"]["layer3.0", "l2_relative"] == pytest.approx(relative)


def test_with_p_the_head_is_left_out(rows):
    """P tells nine classes apart, the others five."""
    assert ("fc", "l2") not in rows["with p"] and ("fc", "l2_relative") not in rows["pair"]
    assert rows["with p"]["all", "l2"] == rows["with p"]["body", "l2"]
    assert {module for module, _ in rows["pair"]} >= {"fc", "all", "body"}
    assert not {module for module, _ in rows["pair"]} & {"bias1", "bias2"}


def test_nothing_is_zero_away_from_itself():
    state = net(0)
    assert {
        r["value"] for r in distance.distances(NETWORK, state, state, distance.norms(NETWORK, state))
    } == {0.0}


def test_other_networks_are_refused(refused):
    of_p = distance.norms(NETWORK, net(0))
    refused(
        "fc.bias has the shapes|fc.weight has the shapes",
        distance.distances,
        NETWORK,
        net(0),
        net(1, 9),
        of_p,
    )
    refused(
        "conv1.weight has the shapes", distance.distances, NETWORK, net(0), net(1, 5, "fixup_small24"), of_p
    )
    refused(
        "only one of them has layer", distance.distances, NETWORK, net(0), net(1, 5, "fixup_resnet18"), of_p
    )
