"""Weights on disk, and starting from them."""

import hashlib
import json
import os
import pickle
import struct

import pytest
import safetensors.torch
import torch

from tlbook.errors import TlbookError
from tlbook.models import build, load, redrawn, save, sha256, start_from

HEAD = ("fc.weight", "fc.bias")


def some_state():
    """A state dict that is awkward to store: bfloat16, channels_last, two names for one memory, a scalar."""
    torch.manual_seed(5)
    shared = torch.randn(4)
    return {
        "half": torch.randn(3, 2).bfloat16(),
        "conv": torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last),
        "first": shared,
        "second": shared[1:],
        "bias": torch.nn.Parameter(torch.zeros(1)),
    }


def equal(a, b):
    return a.keys() == b.keys() and all(a[n].dtype == b[n].dtype and torch.equal(a[n], b[n]) for n in a)


# Files


def test_saved_weights_come_back_bit_for_bit(tmp_path):
    path, state = tmp_path / "new" / "folder" / "epoch-000.safetensors", some_state()
    save(state, path)
    assert equal(load(path), state)
    assert list(load(path)) == sorted(state)  # safetensors itself has another order in each process
    assert equal(safetensors.torch.load_file(path), state)
    assert [p.name for p in path.parent.iterdir()] == ["epoch-000.safetensors"]


def test_equal_weights_give_equal_files(tmp_path):
    save(some_state(), tmp_path / "a")
    save(some_state(), tmp_path / "b")
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")


@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_an_interrupted_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, broken):
    path = tmp_path / "weights.safetensors"
    save({"a": torch.ones(3)}, path)

    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(KeyboardInterrupt):
        save({"a": torch.zeros(3)}, path)
    monkeypatch.undo()
    assert equal(load(path), {"a": torch.ones(3)})
    assert list(tmp_path.iterdir()) == [path]


def test_sha256_is_that_of_the_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(bytes(3_000_000))
    assert sha256(str(path)) == hashlib.sha256(bytes(3_000_000)).hexdigest()


def refusal(call):
    """The sentence that a call is refused with."""
    with pytest.raises(TlbookError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message and message.endswith(".")
    return message


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, 0.5, -1])
def test_a_truncated_file_is_refused_by_name(tmp_path, keep):
    path = tmp_path / "cut.safetensors"
    save(some_state(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    message = refusal(lambda: load(path))
    assert str(path) in message and "truncated" in message


PNG = b"\x89PNG\r\n\x1a\n" + bytes(99)


@pytest.mark.parametrize("content", [b"", b"role,init,rate\n" * 50, b"\xff" * 64, PNG])
def test_another_kind_of_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    assert str(path) in refusal(lambda: load(path))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_as_such_and_never_read(tmp_path, monkeypatch, zipped):
    path = tmp_path / "official.pt"
    torch.save({"state_dict": {"a": torch.ones(2)}}, path, _use_new_zipfile_serialization=zipped)
    for reader in ("load", "loads"):
        monkeypatch.setattr(pickle, reader, lambda *a, **k: pytest.fail("a pickle was read"))
    message = refusal(lambda: load(path))
    assert str(path) in message and "pickle" in message


def test_a_header_whose_length_looks_like_a_pickle_is_still_read(tmp_path):
    path = tmp_path / "weights.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).ljust(640)
    path.write_bytes(struct.pack("<Q", 640) + header.encode() + struct.pack("<f", 2.5))
    assert path.read_bytes().startswith(b"\x80\x02")
    assert equal(load(path), {"a": torch.tensor([2.5])})


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for call in (load, sha256):
        for path in (tmp_path / "none.safetensors", tmp_path):
            assert str(path) in refusal(lambda call=call, path=path: call(path))


# Starting from weights


def drawn(seed, classes=5, network="fixup_small8"):
    torch.manual_seed(seed)
    return build(network, classes)


def copy(model):
    return {name: p.clone() for name, p in model.state_dict().items()}


def test_everything_but_the_head_is_loaded():
    source, model = drawn(1, classes=9), drawn(2)
    for p in source.parameters():
        p.data.add_(0.5)
    head = {name: model.state_dict()[name].clone() for name in HEAD}
    assert start_from(model, source.state_dict()) is model
    for name, p in model.state_dict().items():
        assert torch.equal(p, head[name] if name in HEAD else source.state_dict()[name]), name


def test_two_starts_share_all_but_the_head():
    state = drawn(1, classes=9).state_dict()
    a, b = (start_from(drawn(seed), state).state_dict() for seed in (2, 3))
    assert [name for name in a if not torch.equal(a[name], b[name])] == list(HEAD)


def test_with_head_all_is_loaded():
    source, model = drawn(1), drawn(2)
    start_from(model, source.state_dict(), head=True)
    assert equal(model.state_dict(), source.state_dict())


def test_official_prefix_missing_head_and_half_precision_are_accepted():
    source, model = drawn(1), drawn(2).to(memory_format=torch.channels_last)
    state = {f"module.{n}": p.bfloat16() for n, p in source.state_dict().items() if n not in HEAD}
    start_from(model, state)
    weight = model.layer1[0].conv1.weight
    assert weight.dtype == torch.float32 and weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(weight, source.layer1[0].conv1.weight.bfloat16().float())


def changed(state, changes):
    """The state with some entries replaced, or removed where None."""
    return {n: p for n, p in {**state, **changes}.items() if p is not None}


@pytest.mark.parametrize(
    ("changes", "head", "message"),
    [
        ({"bias1": None}, False, "lack bias1"),
        ({"extra": torch.ones(1)}, False, "have besides extra"),
        ({"bias1": None, "module.bias1": torch.zeros(1)}, False, "lack bias1.*have besides module.bias1"),
        ({"conv1.weight": torch.zeros(8, 3, 7, 7)}, False, r"conv1.weight has the shape \(8, 3, 7, 7\)"),
        ({"layer4.0.scale": torch.tensor([float("nan")])}, False, "layer4.0.scale has values"),
        ({"bias2": torch.tensor([float("inf")])}, False, "bias2 has values"),
        ({"bias2": torch.zeros(1, dtype=torch.int64)}, False, "bias2 holds int64"),
        ({"fc.weight": torch.zeros(9, 64)}, True, "fc.weight has the shape"),
        ({"fc.bias": None}, True, "lack fc.bias"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(changes, head, message):
    model = drawn(2)
    before = copy(model)
    with pytest.raises(TlbookError, match=message) as error:
        start_from(model, changed(drawn(1).state_dict(), changes), head=head)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
    assert equal(copy(model), before)


def test_another_network_s_weights_are_refused_with_a_short_list():
    with pytest.raises(TlbookError, match="have besides layer1.1.bias1a, .* and .* more") as error:
        start_from(drawn(2), drawn(1, network="fixup_resnet34").state_dict())
    assert len(str(error.value)) < 200


# -- redrawn ----------------------------------------------------------------------------------------------


def trained_state():
    """Weights with a mean and structure that no init has."""
    torch.manual_seed(1)
    shapes = build("fixup_small8", 3).state_dict()
    state = {name: torch.randn_like(value) * 2 for name, value in shapes.items()}
    state["conv1.weight"] = state["conv1.weight"] + torch.linspace(-9, 9, 3).view(1, 3, 1, 1)
    return state


def test_mean_var_has_each_tensors_mean_and_variance_and_nothing_else_of_it():
    state = trained_state()
    drawn = redrawn(state, "mean_var", 0)
    assert list(drawn) == list(state)
    for name, value in state.items():
        assert drawn[name].shape == value.shape and drawn[name].dtype == value.dtype
        if value.numel() == 1:
            assert drawn[name] == value  # the sample variance of one value is no number: it is kept
            continue
        error = value.std(correction=0) / value.numel() ** 0.5
        assert abs(drawn[name].mean() - value.mean()) < 5 * error
        assert abs(drawn[name].std() / value.std() - 1) < 5 / (2 * value.numel()) ** 0.5
        likeness = torch.corrcoef(torch.stack([drawn[name].ravel(), value.ravel()]))[0, 1]
        assert value.numel() < 100 or abs(likeness) < 0.35
    spread = drawn["conv1.weight"].mean((0, 2, 3))
    assert spread.max() - spread.min() < 6  # P's channels are 18 apart


def test_mean_var_is_gaussian_whatever_the_tensor_was():
    state = {"w": torch.cat([torch.zeros(9000), torch.ones(1000)])}
    drawn = redrawn(state, "mean_var", 3)["w"]
    z = (drawn - 0.1) / 0.3
    assert abs((z**4).mean() - 3) < 0.3 and len(drawn.unique()) > 9000


def test_permuted_has_the_same_values_in_other_places():
    state = trained_state()
    drawn = redrawn(state, "permuted", 0)
    for name, value in state.items():
        assert torch.equal(drawn[name].ravel().sort().values, value.ravel().sort().values)
        assert value.numel() < 100 or (drawn[name] != value).float().mean() > 0.9
    spread = drawn["conv1.weight"].mean((0, 2, 3))
    assert spread.max() - spread.min() < 6


@pytest.mark.parametrize("kind", ["mean_var", "permuted"])
def test_a_seed_redraws_the_same_whatever_the_order_of_names(kind):
    state = trained_state()
    backwards = dict(reversed(state.items()))
    first, again, other = redrawn(state, kind, 5), redrawn(backwards, kind, 5), redrawn(state, kind, 6)
    assert all(torch.equal(first[name], again[name]) for name in state)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])
    before = torch.get_rng_state()
    redrawn(state, kind, 7)
    assert torch.equal(before, torch.get_rng_state())  # nothing else is drawn differently for it


def test_half_precision_and_memory_formats_can_be_redrawn():
    state = some_state()
    for kind in ("mean_var", "permuted"):
        drawn = redrawn(state, kind, 0)
        assert {name: value.dtype for name, value in drawn.items()} == {n: v.dtype for n, v in state.items()}
        assert all(torch.isfinite(value).all() for value in drawn.values())


def test_another_kind_is_refused(refused):
    refused("'mean_var' or 'permuted', not as 'random'", redrawn, {}, "random", 0)
