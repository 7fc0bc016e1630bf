"""Weights as files lie about: wrapped, prefixed, with another head; and what is not read, or is another's."""

import argparse
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision

from tlbook.models import build
from tlbook.questions.your_network.study import weights
from tlbook.questions.your_network.study.networks import register
from tlbook.training import runs

FILE = Path(__file__).with_name("your_networks.py")


@pytest.fixture
def network():
    return register(f"{FILE}:small")


@pytest.fixture
def model(network):
    torch.manual_seed(1)
    return build(network, 3)


@pytest.fixture
def theirs(network):
    """A state dict as its author would have saved it: its own names, a head of seven classes."""
    torch.manual_seed(2)
    return {name.removeprefix("net."): value for name, value in build(network, 7).state_dict().items()}


WRAPPINGS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "best": np.float64(1.5), "state_dict": state},
    "model and optimiser": lambda state: {"optimizer": {"state": {}, "lr": [0.1]}, "model": state},
    "deep": lambda state: {"checkpoint": {"model": {"ema": state}}},
    "DataParallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "Lightning": lambda state: {"state_dict": {f"model.{n}": v for n, v in state.items()}, "hparams": {}},
    "compiled and parallel": lambda state: {f"module._orig_mod.{n}": v for n, v in state.items()},
    "a part of a larger model": lambda state: (
        {f"encoder.backbone.{n}": v for n, v in state.items()} | {"projector.weight": torch.ones(3)}
    ),
    "with arguments": lambda state: {"args": argparse.Namespace(lr=0.1), "model": state},
    "half precision": lambda state: {n: v.half() if v.is_floating_point() else v for n, v in state.items()},
    "without counters": lambda state: {n: v for n, v in state.items() if "num_batches" not in n},
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_weights_are_found_in_their_wrappings(tmp_path, wrap, theirs, model, network):
    drawn = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save(wrap(theirs), tmp_path / "p.pth")
    state, notes = weights.read(str(tmp_path / "p.pth"), model, network)
    assert state.keys() == drawn.keys()
    for name, value in state.items():
        head, counter = name.startswith(model.head), name.endswith("num_batches_tracked")
        wanted = drawn[name] if head else theirs[name.removeprefix("net.")]
        assert counter or torch.allclose(value, wanted.float(), rtol=1e-3), name
    assert "The head of p.pth does not fit, so it is drawn anew." in notes


def test_a_head_that_fits_is_kept_and_safetensors_are_read(tmp_path, model, network):
    torch.manual_seed(4)
    other = {n.removeprefix("net."): v for n, v in build(network, 3).state_dict().items()}
    safetensors.torch.save_file(other, tmp_path / "p.safetensors")
    state, notes = weights.read(str(tmp_path / "p.safetensors"), model, network, whole=True)
    assert not notes and all(torch.equal(state[f"net.{n}"], v) for n, v in other.items())
    kept = weights.keep(state)
    again = runs.weights(kept)
    assert all(torch.equal(again[n], v) for n, v in state.items())


def test_nothing_in_a_file_is_run(tmp_path, model, network, refused):
    class Harm:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harm",)

    (tmp_path / "p.pth").write_bytes(pickle.dumps({"state_dict": Harm()}))
    refused("neither weights nor a plain value", weights.read, str(tmp_path / "p.pth"), model, network)
    torch.save({"model": model.state_dict(), "note": Harm()}, tmp_path / "q.pth")
    refused("neither weights nor a plain value", weights.read, str(tmp_path / "q.pth"), model, network)
    assert not (tmp_path / "harm").exists()


def test_another_networks_weights_are_refused_with_what_differs(tmp_path, model, network, theirs, refused):
    def said(state, words, **how):
        torch.save(state, tmp_path / "p.pth")
        refused(words, weights.read, str(tmp_path / "p.pth"), model, network, **how)

    said(torchvision.models.resnet18().state_dict(), "p.pth does not fit .*small.*; 0 % of its tensors match")
    said({n: v for n, v in theirs.items() if n != "1.0.weight"}, "it lacks 1.0.weight; 90 % of its tensors")
    said(theirs | {"1.0.weight": torch.ones(8, 4, 5, 5)}, r"1.0.weight is \(8, 4, 5, 5\), not \(8, 4, 3, 3\)")
    said(theirs | {"1.0.weight": theirs["1.0.weight"] * torch.nan}, "1.0.weight that are no finite numbers")
    said({"epoch": 3}, "holds no weights")
    said(theirs, "p.pth has 7 classes, and the images have 3", whole=True)


def test_what_is_no_file_of_weights_is_refused(tmp_path, model, network, refused):
    (tmp_path / "p.pth").write_text("<html>404</html>")
    refused("a web page", weights.read, str(tmp_path / "p.pth"), model, network)
    refused("there is no file", weights.read, str(tmp_path / "none.pth"), model, network)
    refused("give a file of weights for .*, or default", weights.read, "", model, network)
    refused("has no default; give a file", weights.read, "default", model, network)


def test_the_default_of_torchvision_is_its_own_cached_file_and_says_so_where_it_cannot_be_had(
    tmp_path, monkeypatch, refused
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    network = register("torchvision:squeezenet1_1")
    model = build(network, 3)
    refused("cannot be had .*; download it", weights.read, "default", model, network)
    url = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT.url
    folder = tmp_path / "hub" / "checkpoints"
    torch.manual_seed(8)
    net = torchvision.models.squeezenet1_1()
    torch.save(net.state_dict(), folder / url.rpartition("/")[2])
    state, _ = weights.read("default", model, network)
    assert torch.equal(state["net.features.0.weight"], net.features[0].weight)
