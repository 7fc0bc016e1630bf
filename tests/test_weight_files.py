"""Weights that come as files: the shipped ones and users' own."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from tlbook import models, scales
from tlbook.errors import TlbookError
from tlbook.models import build
from tlbook.training import weight_files
from tlbook.training.specs import File


@pytest.fixture
def run():
    """What `ship` needs of a finished pre-training run: three epochs of a small network."""
    torch.manual_seed(0)
    states = {epoch: build("fixup_small8", 20).state_dict() for epoch in (0, 1, 2)}
    history = pd.DataFrame(
        [{"epoch": e, "split": "test", "metric": "accuracy", "value": 10.0 * e} for e in states]
    )
    return SimpleNamespace(
        kept=lambda: sorted(states),
        weights=states.__getitem__,
        history=lambda: history,
        spec={"id": "x"},
        complete={"seconds": 1.0},
    )


@pytest.fixture
def shipped(run, tmp_path, monkeypatch):
    """The files of that run shipped as scale 'smoke', in a folder that stands for the package's."""
    monkeypatch.setattr(weight_files, "SHIPPED", tmp_path / "shipped")
    weight_files.ship(run, "smoke", [0, 1, 2], tmp_path / "shipped")
    return run


def test_the_last_epoch_is_shipped_exactly_and_others_to_half_precision(shipped, tmp_path):
    for epoch, tolerance in ((2, 0.0), (1, 2**-8)):
        state = models.load(weight_files.locate(weight_files.shipped("smoke", epoch), tmp_path))
        for name, value in shipped.weights(epoch).items():
            torch.testing.assert_close(state[name].float(), value, rtol=tolerance, atol=0)


def test_epoch_zero_needs_no_file_and_an_epoch_not_shipped_is_refused(shipped):
    assert set(weight_files.card("smoke")["files"]) == {"1", "2"}
    with pytest.raises(TlbookError, match="Epoch 7 of P at scale smoke is not shipped, only 1, 2"):
        weight_files.shipped("smoke", 7)


def test_a_scale_without_weights_says_what_to_do(shipped):
    with pytest.raises(TlbookError, match="set pretrained to 'train'"):
        weight_files.shipped("paper")


def test_a_damaged_file_is_refused_by_name(shipped, tmp_path):
    path = tmp_path / "shipped" / "smoke.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(TlbookError, match="smoke.safetensors is damaged"):
        weight_files.locate(weight_files.shipped("smoke"), tmp_path)


def test_an_unknown_digest_is_refused(tmp_path):
    with pytest.raises(TlbookError, match="no weights file with SHA-256 ffffffffffff"):
        weight_files.locate(File("f" * 64), tmp_path)


def test_a_users_file_is_found_by_its_digest_even_when_the_original_is_gone(run, tmp_path):
    models.save(run.weights(1), tmp_path / "mine.safetensors")
    file = weight_files.register(tmp_path / "mine.safetensors", tmp_path / "files")
    (tmp_path / "mine.safetensors").unlink()
    assert weight_files.locate(file, tmp_path / "files").read_bytes()
    with pytest.raises(TlbookError, match="There is no file"):
        weight_files.register(tmp_path / "mine.safetensors", tmp_path / "files")


def test_what_the_package_ships_is_whole_small_and_fits_its_scale():
    cards = sorted(weight_files.SHIPPED.glob("*.json"))
    shipping = [name for name, scale in scales.SCALES.items() if scale.pretrained == "shipped"]
    assert [card.stem for card in cards] == sorted(shipping)
    for card in cards:
        known, scale = json.loads(card.read_text()), scales.get(card.stem)
        assert known["final"] == scale.source.epochs
        assert set(known["files"]) >= {str(epoch) for epoch in scale.checkpoints.starts if epoch}
        for epoch, entry in known["files"].items():
            path = weight_files.locate(weight_files.shipped(scale.name, int(epoch)), card.parent)
            assert path.stat().st_size < 3e6
            model = build(scale.network, known["run"]["identity"]["classes"])
            models.start_from(model, models.load(path), head=True)
            assert entry["dtype"] == ("torch.float32" if int(epoch) == known["final"] else "torch.bfloat16")
        others = [e["name"] for k, e in known["files"].items() if int(k) != known["final"]]
        assert sum((card.parent / name).stat().st_size for name in others) <= 12e6
        assert known["test_accuracy"][str(known["final"])] >= 35  # chance is 0.5


def test_a_users_names_lose_the_prefix_of_data_parallel_where_they_are_kept(run, tmp_path):
    plain = run.weights(max(run.kept()))
    state = {f"module.{name}": value for name, value in plain.items()}
    models.save(state, tmp_path / "p.safetensors")
    kept = weight_files.register(tmp_path / "p.safetensors", tmp_path / "files")
    assert models.load(weight_files.locate(kept, tmp_path / "files")).keys() == plain.keys()
