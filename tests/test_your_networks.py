"""Networks that others wrote: heads, modules, what is frozen, shared, dropped or grey; what is refused."""

from pathlib import Path

import pytest
import torch
import torchvision
from conftest import one_sentence
from torch import nn

from tlbook.errors import TlbookError
from tlbook.models import build, skeleton
from tlbook.questions.your_network.study import networks
from tlbook.questions.your_network.study.networks import cut, head_of, register, try_out

FILE = Path(__file__).with_name("your_networks.py")
HEADS = {  # as torchvision's own source has them
    "alexnet": "classifier.6",
    "convnext_tiny": "classifier.2",
    "densenet121": "classifier",
    "efficientnet_b0": "classifier.1",
    "googlenet": "fc",
    "inception_v3": "fc",
    "mnasnet0_5": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "regnet_y_400mf": "fc",
    "resnet18": "fc",
    "shufflenet_v2_x0_5": "fc",
    "squeezenet1_1": "classifier.1",
    "swin_t": "head",
    "vgg11_bn": "classifier.6",
    "vit_b_16": "heads.head",
}


def own(name):
    return f"{FILE}:{name}"


@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize(("name", "head"), HEADS.items())
def test_heads_and_modules_of_torchvision(name, head):
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # which needs values to be made
        net = torchvision.models.get_model(name, weights=None)
    assert head_of(net) == head
    places = cut(net, head)
    assert places[-1] == head and len(set(places)) == len(places) <= 60
    assert not [place for place in places if head.startswith(f"{place}.")], "the head stands alone"
    for place in places:
        assert not any(other.startswith(f"{place}.") for other in places), "no module lies in another"
        largest = sum(p.numel() for p in net.get_submodule(place).parameters())
        assert largest <= 0.8 * sum(p.numel() for p in net.parameters()), (
            f"{place} is nearly the whole network"
        )


@pytest.mark.parametrize("name", ["resnet", "transformer", "small", "grey", "Odd"])
def test_every_parameter_belongs_to_one_module_and_the_head_is_the_last(name):
    asked = skeleton(register(own(name)))
    members = asked.members()
    names = [parameter for group in members.values() for parameter in group]
    assert sorted(names) == sorted(parameter for parameter, _ in asked.named_parameters())
    assert list(members)[-1] == asked.head and len(members) > 1


def test_a_class_token_is_a_module_by_itself():
    assert ("net.class_token",) in skeleton(register(own("transformer"))).members().values()


def test_asking_for_a_networks_shape_leaves_the_generator_alone():
    register(own("resnet"))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    networks.Foreign(networks.Foreign.networks[register(own("small"))], 2)
    torch.set_rng_state(before)
    skeleton(register(own("small")))
    assert torch.equal(before, torch.get_rng_state())


def test_a_grey_network_reads_the_mean_of_three_channels_and_has_a_convolution_as_its_head():
    network = register(own("grey"))
    model = build(network, 3)
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(model(images), model.net(images.mean(1, keepdim=True)))
    assert model(images).shape == (2, 3) and isinstance(model.get_submodule(model.head), nn.Conv2d)
    assert any("grey" in note for note in try_out(network, 3, 16))


def test_what_is_frozen_shared_or_dropped_is_told():
    odd = " ".join(try_out(register(own("Odd")), 3, 16))
    assert (
        "2 of its parameters (first.weight …) are frozen" in odd and "2 of its parameters are others" in odd
    )
    small = " ".join(try_out(register(own("small")), 3, 16))
    assert "batch norm" in small and "drops units" in small


def test_what_is_dropped_follows_from_the_weights():
    """So that a run that was cut off and goes on draws as one that was not."""
    network = register(own("small"))
    torch.manual_seed(0)
    model, images = build(network, 3), torch.randn(8, 3, 16, 16)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    first = model.train()(images)
    torch.manual_seed(99)
    model.load_state_dict(state)
    assert torch.equal(first, model.train()(images))
    with torch.no_grad():
        model.get_submodule(model.head).weight.add_(1e-3)
    assert not torch.equal(torch.rand(3), (model.train(), torch.rand(3))[1])


def test_images_are_brought_to_the_statistics_that_a_network_was_trained_with():
    model = build(register(own("halved")), 2)
    pixels = torch.rand(1, 3, 2, 2)  # 0 to 1
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in networks.IMAGENET_STATISTICS)
    theirs = (pixels - 0.5) / torch.tensor([0.5, 0.25, 0.5]).view(1, -1, 1, 1)
    assert torch.allclose(model((pixels - mean) / std), model.net(theirs), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    {
        "torchvision:resnet19": "near are resnet18",
        "fixup:resnet18": "choose fixup: and one of",
        "resnet18": "write torchvision:resnet18",
        "torchvision:": "write torchvision:resnet18",
        "timm:resnet18": "pip install 'tlbook\\[timm\\]'",
        "keras:resnet18": "names no kind that there is",
        f"{FILE}:no_such": "has no function no_such",
        f"{FILE}:nothing": "returned int, not a torch.nn.Module",
        f"{FILE}:broken": "cannot be made \\(no such thing\\)",
        f"{FILE}:Complex": "phase as complex",
        f"{FILE}:five_channels": "images of 5 channels",
        f"{FILE}:no_head": "name it with head",
    }.items(),
)
def test_what_is_no_network_is_refused_in_a_sentence(name, words):
    if name.startswith("timm") and networks.importlib.util.find_spec("timm"):
        pytest.skip("timm is installed here")
    with pytest.raises(TlbookError, match=words) as error:
        try_out(register(name), 3, 32)
    assert one_sentence(error)


def test_a_side_that_a_network_cannot_read_is_refused_with_one_that_it_can():
    with pytest.raises(TlbookError, match="cannot read images of 64 px .*; it can those of 32 px") as error:
        try_out(register(own("transformer")), 3, 64)
    assert one_sentence(error)


def test_a_user_file_that_changes_is_another_network(tmp_path):
    file = tmp_path / "net.py"
    file.write_text(FILE.read_text())
    first = register(f"{file}:small")
    file.write_text(FILE.read_text() + "\n")
    assert register(f"{file}:small") != first
    file.write_text("import no_such_package_at_all")
    with pytest.raises(TlbookError, match="cannot be imported \\(ModuleNotFoundError"):
        register(f"{file}:small")
