"""Fixup ResNets against the official code's numbers (tests/parity) and against the formulas."""

import json
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tlbook.errors import TlbookError
from tlbook.models import build, skeleton
from tlbook.models.fixup import NETWORKS

PARITY = Path(__file__).parent / "parity"
OFFICIAL = {"fixup_resnet18": 10, "fixup_resnet34": 10, "fixup_resnet50": 345}
MEASURED = ("fixup_resnet18", "fixup_resnet50")
SMALL = ("fixup_small8", "fixup_small24")


def parity_json(name):
    return json.loads((PARITY / name).read_text())


def parity_arrays(name, prefix):
    """The arrays of one file whose names begin with the prefix, without it."""
    with np.load(PARITY / name, allow_pickle=False) as file:
        return {key.removeprefix(prefix): file[key] for key in file.files if key.startswith(prefix)}


def made_up(network):
    """A float64 network with the made-up weights of tests/parity/README.md: nothing in it is zero."""
    model = build(network, OFFICIAL[network]).double()
    rng = np.random.RandomState(0)
    state = model.state_dict()
    for name in sorted(state):
        z = rng.standard_normal(tuple(state[name].shape))
        if name.endswith("weight"):
            z *= np.sqrt(1 / np.prod(z.shape[1:]))
        else:
            z = 1 + 0.1 * z if name.endswith("scale") else 0.1 * z
        state[name].copy_(torch.from_numpy(z))
    return model


def made_up_images():
    return torch.from_numpy(np.random.RandomState(1).standard_normal((4, 3, 64, 64)))


# Names, shapes, counts


@pytest.mark.parametrize("network", OFFICIAL)
def test_state_dict_has_official_names_shapes_and_order(network):
    official = parity_json("fixup_names.json")[network]
    model = build(network, OFFICIAL[network])
    assert [[name, list(p.shape)] for name, p in model.state_dict().items()] == official["state_dict"]
    assert [name for name, _ in model.named_buffers()] == official["buffers"] == []
    assert sum(p.numel() for p in model.parameters()) == official["n_parameters"]
    assert len(model.blocks()) == official["num_layers_L"]


@pytest.mark.parametrize(("network", "w", "classes"), [("fixup_small8", 8, 16), ("fixup_small24", 24, 200)])
def test_small_networks_have_the_parameters_that_the_formula_counts(network, w, classes):
    convolutions = 27 * w + 9 * w * w * (2 + (2 + 4) + (8 + 16) + (32 + 64))
    downsamples = w * w * (2 + 8 + 32)
    scalars = 4 * 5 + 2
    count = sum(p.numel() for p in build(network, classes).parameters())
    assert count == convolutions + downsamples + scalars + (8 * w + 1) * classes


def test_laptop_network_is_about_the_size_that_the_design_measured():
    assert sum(p.numel() for p in build("fixup_small24", 200).parameters()) == pytest.approx(0.73e6, rel=0.01)


def test_first_basic_block_has_no_downsample_and_first_bottleneck_has_one():
    assert build("fixup_small8", 2).layer1[0].downsample is None
    assert build("fixup_small8", 2).layer2[0].downsample.stride == (2, 2)
    bottleneck = build("fixup_resnet50_small", 2).layer1[0].downsample
    assert bottleneck.stride == (1, 1) and bottleneck.weight.shape == (128, 32, 1, 1)


# Initialisation


@pytest.mark.parametrize("network", MEASURED)
def test_init_draws_what_the_official_constructor_draws(network):
    official = parity_arrays("fixup_init.npz", network + "/")
    torch.manual_seed(0)
    state = build(network, OFFICIAL[network]).state_dict()
    assert sorted(state) == sorted(official["keys"])
    for i, name in enumerate(official["keys"]):
        values = state[str(name)].double().flatten().numpy()
        first = official["first3"][i][: values.size]
        np.testing.assert_allclose(values[:3], first, rtol=1e-5, atol=1e-9, err_msg=name)
        for statistic, value in (("std", values.std()), ("absmax", abs(values).max())):
            np.testing.assert_allclose(value, official[statistic][i], rtol=1e-4, atol=1e-9, err_msg=name)


def expected_std(name, p, block, blocks):
    """DESIGN's formulas, for a parameter of a residual block."""
    kaiming = sqrt(2 / (p.shape[0] * p.shape[2] * p.shape[3]))
    if "downsample" in name:
        return kaiming
    if name.endswith("conv3.weight") or (block == "basic" and name.endswith("conv2.weight")):
        return 0.0
    return kaiming * blocks ** (-1 / 2 if block == "basic" else -1 / 4)


@pytest.mark.parametrize("network", ["fixup_small24", "fixup_resnet34", "fixup_resnet50_small"])
def test_init_follows_fixup_s_formulas(network):
    torch.manual_seed(3)
    shape, model = NETWORKS[network], build(network, 50)
    for name, p in model.named_parameters():
        if "bias" in name and name != "fc.bias":
            assert p.item() == 0
        elif "scale" in name:
            assert p.item() == 1
        elif name.startswith(("conv1", "fc")):
            fan_in = model.fc.in_features if name.startswith("fc") else p[0].numel()
            assert 0.9 / sqrt(fan_in) < p.abs().max() <= 1 / sqrt(fan_in)
        else:
            std, spread = expected_std(name, p, shape.block, sum(shape.blocks)), 5 / sqrt(2 * p.numel())
            assert p.std().item() == pytest.approx(std, rel=spread), name


@pytest.mark.parametrize("network", [*SMALL, "fixup_resnet50_small"])
def test_a_fresh_block_passes_its_shortcut_on(network):
    for block in build(network, 3).blocks().values():
        x = torch.rand(2, block.conv1.in_channels, 8, 8)
        shortcut = x if block.downsample is None else block.downsample(x)
        torch.testing.assert_close(block(x), shortcut.relu(), rtol=0, atol=0)


def test_a_seed_fixes_the_draw():
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(build("fixup_small8", 4).state_dict())
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])
    assert not torch.equal(draws[0]["conv1.weight"], draws[2]["conv1.weight"])


# Forward


@pytest.mark.parametrize("network", MEASURED)
def test_forward_equals_the_official_code(network):
    official = parity_arrays("fixup_forward.npz", f"{network}/side64/")
    model, seen = made_up(network), {}
    for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.__setitem__(name, output)
        )
    with torch.no_grad():
        logits = model(made_up_images())
    np.testing.assert_allclose(logits.numpy(), official["logits"], rtol=1e-9)
    seen["avgpool"] = seen["layer4"].mean((2, 3), keepdim=True)
    for name, output in seen.items():
        statistics = [output.mean(), output.std(), output.abs().max()]
        assert tuple(output.shape) == tuple(official[f"{name}/shape"])
        np.testing.assert_allclose(statistics, official[f"{name}/mean_std_absmax"], rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(output.flatten()[:8], official[f"{name}/first8"], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("network", [*SMALL, "fixup_resnet50_small"])
@pytest.mark.parametrize("side", [32, 64])
def test_small_stems_halve_the_side_once_and_stages_three_times(network, side):
    model, sides = build(network, 7), {}
    for name in ("conv1", "layer1", "layer2", "layer3", "layer4"):
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: sides.__setitem__(name, output.shape[2:])
        )
    assert model(torch.randn(2, 3, side, side)).shape == (2, 7)
    halvings = {"conv1": 2, "layer1": 2, "layer2": 4, "layer3": 8, "layer4": 16}
    assert sides == {name: (side // h, side // h) for name, h in halvings.items()}


def test_channels_last_gives_the_same_logits():
    model, images = made_up("fixup_resnet18"), made_up_images()
    with torch.no_grad():
        plain = model(images)
        fast = model.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-12)


def test_autocast_keeps_activations_in_bfloat16_and_trains_float32_weights():
    model, kinds = build("fixup_small8", 5), set()
    for block in model.blocks().values():
        block.register_forward_hook(lambda module, inputs, output: kinds.add(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.randn(2, 3, 32, 32))
    logits.float().sum().backward()
    assert kinds == {torch.bfloat16}
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}


# Optimiser


@pytest.mark.parametrize("network", MEASURED)
def test_parameter_groups_are_the_official_ones(network):
    model = build(network, OFFICIAL[network])
    name_of = {id(p): name for name, p in model.named_parameters()}
    official = parity_json("optimizer_groups.json")[network]
    optimizer = torch.optim.SGD(model.parameter_groups(0.001, 1e-4, 0.9))
    assert len(optimizer.param_groups) == len(official) == 3
    for group, expected in zip(optimizer.param_groups, official, strict=True):
        assert [name_of[id(p)] for p in group["params"]] == expected["params"]
        for setting in ("lr", "weight_decay", "momentum", "nesterov", "dampening"):
            assert group[setting] == pytest.approx(expected[setting], rel=1e-12), setting


def take_step(model, optimizer, images, targets):
    """One step on plain cross-entropy; returns the loss before it."""
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(images), targets)
    loss.backward()
    optimizer.step()
    return loss.item()


@pytest.mark.parametrize("network", MEASURED)
def test_three_steps_equal_the_official_code(network):
    official = parity_arrays("sgd_steps.npz", network + "/")
    model, images = made_up(network), made_up_images()
    start = {name: p.clone() for name, p in model.state_dict().items()}
    targets = torch.from_numpy(np.random.RandomState(2).randint(0, OFFICIAL[network], size=4))
    optimizer = torch.optim.SGD(model.parameter_groups(0.001, 1e-4, 0.9))
    losses = [take_step(model, optimizer, images, targets)]
    keys, parameters = [str(key) for key in official["keys"]], dict(model.named_parameters())
    gradients = [parameters[key].grad.norm().item() for key in keys]
    np.testing.assert_allclose(gradients, official["grad_norm_step0"], rtol=1e-7)
    losses += [take_step(model, optimizer, images, targets) for _ in range(2)]
    np.testing.assert_allclose(losses, official["losses"], rtol=1e-7)
    with torch.no_grad():
        moved = [(parameters[key] - start[key]).norm().item() for key in keys]
        np.testing.assert_allclose(moved, official["moved_l2_after3"], rtol=1e-7)
        np.testing.assert_allclose(model(images).numpy(), official["logits_after3"], rtol=1e-7)


# Modules


def test_modules_of_the_small_and_the_official_network():
    assert [*skeleton("fixup_small8").members()] == [
        "conv1",
        *(f"layer{stage}.0" for stage in (1, 2, 3, 4)),
        "fc",
    ]
    blocks = [f"layer{stage}.{i}" for stage, n in ((1, 3), (2, 4), (3, 6), (4, 3)) for i in range(n)]
    assert [*skeleton("fixup_resnet50").members()] == ["conv1", *blocks, "fc"]


@pytest.mark.parametrize("network", ["fixup_small24", "fixup_resnet34", "fixup_resnet50_small"])
def test_modules_partition_the_parameters_but_two(network):
    model = build(network, 3)
    members = model.members()
    assert members == skeleton(network).members() and list(members) == list(model.steps())
    owned = [name for names in members.values() for name in names]
    assert sorted([*owned, "bias1", "bias2"]) == sorted(model.state_dict())
    for module, names in members.items():
        assert names == tuple(f"{module}.{p}" for p, _ in model.get_submodule(module).named_parameters())


@pytest.mark.parametrize("network", ["fixup_resnet18", "fixup_resnet50_small"])
def test_the_steps_in_turn_are_the_network(network):
    model, x = build(network, 3), torch.randn(2, 3, 32, 32)
    wanted = model(x)
    for step in model.steps().values():
        x = step(x)
    assert torch.equal(x, wanted)


def test_a_skeleton_draws_nothing():
    before = torch.get_rng_state()
    model = skeleton("fixup_resnet34")
    assert torch.equal(torch.get_rng_state(), before)
    assert {p.device.type for p in model.parameters()} == {"meta"}


# Refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build("resnet50", 10), "no network 'resnet50'; choose one of .*fixup_small24"),
        (lambda: skeleton("fixup_resnet101"), "no network 'fixup_resnet101'"),
        (lambda: build("fixup_small8", 0), "at least 1, not 0"),
        (lambda: build("fixup_small8", 2.0), "at least 1, not 2.0"),
        (lambda: build("fixup_small8", True), "at least 1, not True"),
    ],
)
def test_what_does_not_exist_is_refused_in_one_sentence(call, message):
    with pytest.raises(TlbookError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")
