"""Checkpoints of the official code: read without running anything, whatever else they hold is refused."""

import argparse
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from tlbook import models, scales
from tlbook.book import parameters
from tlbook.models import build
from tlbook.questions import grid
from tlbook.training import runs, weight_files
from tlbook.training.specs import File


def official(path, extra=None, network="fixup_small8", classes=20, **how):
    """A file as the official code saves it: DataParallel's names, the optimiser's state, the best metric."""
    torch.manual_seed(3)
    model = nn.DataParallel(build(network, classes))
    optimizer = torch.optim.SGD(model.module.parameter_groups(0.1, 1e-4, 0.9))
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    content = {"epoch": 90, "arch": "fixup_resnet50_nzfc", "state_dict": model.state_dict(),
               "optimizer": optimizer.state_dict()}  # fmt: skip
    torch.save(content | (extra or {"best_acc1": torch.tensor(71.5)}), path, **how)
    return model.module.state_dict()


pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
formats = pytest.mark.parametrize("zipped", [True, False])


@formats
@pytest.mark.parametrize("extra", [{"best_acc1": torch.tensor(71.5)}, {"best_auc": np.float64(0.787)}])
def test_imagenet_s_and_chexpert_s_files_are_read_in_both_formats(tmp_path, zipped, extra):
    path = tmp_path / "ckpt-E090.pth.tar"
    wanted = official(path, extra, _use_new_zipfile_serialization=zipped)
    state = models.load_official(path)
    assert list(state) == list(wanted) and not any(name.startswith("module.") for name in state)
    assert all(torch.equal(state[name], wanted[name]) for name in wanted)
    models.start_from(build("fixup_small8", 20), state, head=True)


@formats
def test_a_number_pickled_by_an_older_numpy_is_read(tmp_path, zipped):
    """Before NumPy 2 its module had another name, and the official files are that old."""
    path = tmp_path / "ckpt-best.pth.tar"
    wanted = official(path, {"best_auc": np.float64(0.787)}, _use_new_zipfile_serialization=zipped)
    old, new = b"cnumpy.core.multiarray\nscalar\n", b"cnumpy._core.multiarray\nscalar\n"
    if zipped:
        with zipfile.ZipFile(path) as archive:
            members = {info: archive.read(info) for info in archive.infolist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for info, content in members.items():
                archive.writestr(info.filename, content.replace(new, old))
        assert any(new in content for content in members.values())
    else:
        assert new in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(new, old))
    assert torch.equal(models.load_official(path)["conv1.weight"], wanted["conv1.weight"])


class Harmful:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@formats
@pytest.mark.parametrize("kind", ["harmful", "namespace", "array", "function"])
def test_anything_else_is_refused_and_not_run(tmp_path, zipped, kind, refused):
    trace = tmp_path / "it-ran"
    extra = {
        "harmful": Harmful(f"touch {trace}"),
        "namespace": argparse.Namespace(lr=0.1),
        "array": np.zeros(3),
        "function": np.sum,
    }[kind]
    path = tmp_path / "ckpt-E090.pth.tar"
    official(path, {"args": extra}, _use_new_zipfile_serialization=zipped)
    named = {"harmful": "posix.system", "namespace": "argparse.Namespace"}.get(kind, "numpy")
    refused(f"ckpt-E090.pth.tar holds {named}.*neither weights nor a plain", models.load_official, path)
    assert not trace.exists()


@pytest.mark.parametrize("content", [[1, 2], {"model": 1}, {"state_dict": {}}, {"state_dict": {"a": 1}},
                                     {"state_dict": {1: torch.ones(1)}}, torch.ones(3), {},
                                     {"a": torch.ones(1), "epoch": 3}, {1: torch.ones(1)}])  # fmt: skip
def test_a_file_without_a_state_dict_of_tensors_is_refused(tmp_path, content, refused):
    torch.save(content, tmp_path / "x.pth")
    refused(r"x.pth has no state_dict of tensors, .* \.safetensors", models.load_official, tmp_path / "x.pth")


@formats
@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(tmp_path, zipped, keep, refused):
    path = tmp_path / "ckpt-E001.pth.tar"
    official(path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    refused("ckpt-E001.pth.tar is", models.load_official, path)


def test_another_file_is_refused(tmp_path, refused):
    (tmp_path / "x.pth").write_bytes(b"some text, no checkpoint\n" * 9)
    refused("x.pth is", models.load_official, tmp_path / "x.pth")
    (tmp_path / "y.pt").write_bytes(pickle.dumps({"state_dict": 3}))
    refused("y.pt ", models.load_official, tmp_path / "y.pt")
    refused("no weights file .*z.pt", models.load_official, tmp_path / "z.pt")


def test_a_checkpoint_can_be_the_p_of_a_study(tmp_path, tiny):
    """Kept as safetensors under the digest of what it holds, so that the same weights are the same run."""
    path = tmp_path / "ckpt-E090.pth.tar"
    wanted = official(path)
    own = tiny.replace(pretrained=str(path))
    file = grid.pretrained(own)
    assert isinstance(file, File) and grid.pretraining(own) == []
    kept = runs.weights(file)
    assert all(torch.equal(kept[name], wanted[name]) for name in wanted)
    other = tmp_path / "again.pth"
    official(other, {"best_auc": np.float64(0.5)}, _use_new_zipfile_serialization=False)
    assert weight_files.register(other, runs.own_files()) == file
    run = runs.ensure(grid.p_t(own, "quickdraw", "low", 0))
    assert torch.equal(run.weights(0)["layer1.0.conv1.weight"], wanted["layer1.0.conv1.weight"])
    assert not list(runs.own_files().glob("*.partial"))


@formats
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_bare_state_dict_is_read_as_an_official_checkpoint_is(tmp_path, tiny, zipped, prefix, refused):
    path = tmp_path / "mine.pth"
    wanted = official(tmp_path / "x.pth")
    named = {f"{prefix}{name}": value for name, value in wanted.items()}
    torch.save(named, path, _use_new_zipfile_serialization=zipped)
    kept = runs.weights(grid.pretrained(tiny.replace(pretrained=str(path))))
    assert kept.keys() == wanted.keys() and all(torch.equal(kept[name], wanted[name]) for name in wanted)
    named["fc.bias"] = Harmful(f"touch {tmp_path / 'it-ran'}")
    torch.save(named, path, _use_new_zipfile_serialization=zipped)
    refused("mine.pth holds posix.system.*neither weights nor a plain", models.load_official, path)
    assert not (tmp_path / "it-ran").exists()


def test_weights_with_another_shape_are_refused_with_the_network_s_name(tmp_path, tiny, refused):
    state = official(tmp_path / "x.pth")
    torch.save(state | {"conv1.weight": torch.zeros(1, 3, 3, 3)}, tmp_path / "y.pth")
    match = r"do not fit the network fixup_small8: conv1.weight has the shape \(1, 3, 3, 3\)"
    refused(match, grid.pretrained, tiny.replace(pretrained=str(tmp_path / "y.pth")))


def test_a_checkpoint_of_another_network_is_refused_before_training(tmp_path, tiny, refused):
    official(tmp_path / "x.pth", network="fixup_small24")
    match = "do not fit the network fixup_small8: "
    refused(match, grid.pretrained, tiny.replace(pretrained=str(tmp_path / "x.pth")))
    torch.save({"layer9.weight": torch.ones(1)}, tmp_path / "x.pth")
    refused(match + "they lack", grid.pretrained, tiny.replace(pretrained=str(tmp_path / "x.pth")))


def test_a_notebook_takes_one(tmp_path):
    official(tmp_path / "ckpt-E090.pth.tar")
    given = parameters.read({"scale": "paper", "pretrained": str(tmp_path / "ckpt-E090.pth.tar")})
    assert given.apply() == scales.get("paper").replace(pretrained=str(tmp_path / "ckpt-E090.pth.tar"))
    assert set(models.OFFICIAL) == {".pth.tar", ".pth", ".pt"}  # which parameters.py repeats, without torch


NUMBERS = ["float16", "float32", "float64", "longdouble", "int8", "int64", "uint16", "bool_", "complex64"]


@formats
@pytest.mark.parametrize("kind", NUMBERS)
def test_numpy_numbers_of_any_kind_may_stand_beside_the_weights(tmp_path, zipped, kind):
    extra = {"best": getattr(np, kind)(1), "name": np.str_("E090"), "saved": np.datetime64("2020-01-01")}
    wanted = official(tmp_path / "x.pth", extra, _use_new_zipfile_serialization=zipped)
    assert models.load_official(tmp_path / "x.pth").keys() == wanted.keys()


def test_an_object_inside_a_numpy_scalar_is_refused_and_not_run(tmp_path, refused):
    scalar = np._core.multiarray.scalar
    trace = tmp_path / "it-ran"

    class Hidden:
        def __reduce__(self):
            return scalar, (np.dtype("O"), pickle.dumps(Harmful(f"touch {trace}")))

    official(tmp_path / "x.pth", {"args": Hidden()})
    refused("x.pth holds numpy.dtypes.ObjectDType", models.load_official, tmp_path / "x.pth")
    assert not trace.exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what, said", {
    "script": "is a TorchScript program, not weights", "empty": "is empty", "page": "is a web page",
    "archive": "is a zip archive, but not one that torch.save", "pointer": "is a Git LFS pointer",
    "safetensors": "is a safetensors file; let its name",
}.items())  # fmt: skip
def test_another_kind_of_file_is_refused_for_what_it_is(tmp_path, what, said, refused):
    path = tmp_path / "x.pth"
    if what == "script":
        torch.jit.script(nn.Linear(3, 3)).save(path)
    elif what == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme", "text")
    elif what == "safetensors":
        models.save({"a": torch.ones(3)}, path)
    else:
        texts = {"page": "<html>Not found</html>", "pointer": "version https://git-lfs.github.com/spec/v1\n"}
        path.write_text(texts.get(what, ""))
    refused(f"x.pth .*{said}", models.load_official, path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind, made", {
    "empty .of the device meta.": lambda x: x.to("meta"), "sparse": lambda x: x.to_sparse(),
    "quantised": lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
    "nested": lambda x: torch.nested.nested_tensor([x, x]),
    "float8_e4m3fn": lambda x: x.to(torch.float8_e4m3fn), "complex64": lambda x: x.to(torch.complex64),
}.items())  # fmt: skip
def test_tensors_that_are_no_dense_numbers_are_refused(tmp_path, kind, made, refused):
    tensor = made(torch.ones(3))
    torch.save({"fc.weight": torch.ones(3), "conv1.weight": tensor}, tmp_path / "x.pth")
    said = f"x.pth holds 'conv1.weight' as a tensor that is {kind}; weights are float32"
    refused(said, models.load_official, tmp_path / "x.pth")
    if kind.startswith(("float8", "complex")):
        models.save({"conv1.weight": tensor}, tmp_path / "x.safetensors")
        refused(said.replace(".pth", ".safetensors"), models.load, tmp_path / "x.safetensors")


def test_names_that_are_no_text_are_refused_and_such_paths_are_read(tmp_path, refused):
    torch.save({"conv\udcff": torch.ones(3)}, tmp_path / "x.pth")
    refused("x.pth has a tensor whose name", models.load_official, tmp_path / "x.pth")
    path = tmp_path / os.fsdecode(b"caf\xe9.pth")  # Latin-1
    wanted = official(path)
    assert models.load_official(path).keys() == wanted.keys()
