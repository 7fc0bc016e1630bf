"""Odd input of every kind: a sentence, or what it says; never a traceback, never another number in silence.

Hypothesis draws the cases: a share of them in `make test`, all in `make test-deep`.
"""

import dataclasses
import io
import json
import math
import shutil
import tarfile
import zipfile
from decimal import Decimal, InvalidOperation

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from images import chexpert, domainnet, picture
from PIL import Image
from test_runs import FIELDS, LITERAL

from tlbook import models, scales
from tlbook.book import parameters, records, results
from tlbook.data import decode, layouts, unpack
from tlbook.errors import SAID, TlbookError, sentence
from tlbook.questions import grid
from tlbook.questions import plan as planning
from tlbook.training import executors, runs, weight_files

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-2, 70), st.floats(), st.text(max_size=8),
    st.binary(max_size=4), st.sampled_from(["", "0", "1", "*", "8", "real", "smoke", "train", "1e3", 2**32]),
)  # fmt: skip
ODD = st.recursive(
    SCALARS,
    lambda some: (
        st.lists(some, max_size=3)
        | st.lists(some, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4), some, max_size=2)
    ),
    max_leaves=4,
)


@pytest.fixture
def tried(record_property):
    """Call something: (True, what it gives), or (False, None) where it refuses; both are counted.

    Anything but a refusal that `tlbook.errors.door` says in a sentence is let through, and fails the test.
    """
    counts = {"cases of bad input": 0, "refusals": 0}

    def tried(call, *args, **named):
        counts["cases of bad input"] += 1
        try:
            return True, call(*args, **named)
        except SAID as error:
            counts["refusals"] += 1
            said = sentence(error)
            assert said.endswith(".") and "\n" not in said and "Traceback" not in said, said
            return False, None

    yield tried
    for name, count in counts.items():
        record_property(name, count)


@st.composite
def damaged(draw, whole):
    """Some bytes changed in a few places: others, more, fewer, or an end that is missing."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(["other", "insert", "cut", "end"]))
        new = draw(st.binary(min_size=1, max_size=6))
        if kind == "other":
            content[place : place + len(new)] = new
        elif kind == "insert":
            content[place:place] = new
        elif kind == "cut":
            del content[place : place + len(new)]
        else:
            del content[place:]
    return bytes(content)


# Parameters, specs, command line

NAMED = {
    "scale": st.sampled_from(list(scales.SCALES)),
    "targets": st.lists(st.sampled_from([*scales.TARGETS, "source"]), max_size=3),
    "seeds": st.lists(st.integers(-1, 2**64), max_size=3),
    "block_sizes": st.lists(st.sampled_from(["*", 8, "16", 32, 7]), max_size=3),
    "rates": st.lists(st.floats(-1, 1), min_size=1, max_size=3),
}
COUNTS = ("points", "epochs", "images", "test_images", "source_images", "source_epochs", "workers")


def number(value):
    """The number that a text or a value stands for; None if it stands for none."""
    try:
        return None if isinstance(value, bool) else Decimal(str(value).strip())
    except InvalidOperation:
        return None


def test_parameters_are_what_they_say_or_are_refused(tried):
    several = st.dictionaries(st.sampled_from(parameters.NAMES) | st.text(max_size=6), ODD, max_size=3)
    likely = st.fixed_dictionaries({}, optional=NAMED | dict.fromkeys(COUNTS, SCALARS))

    @given(several | likely)
    def case(values):
        good, found = tried(parameters.read, values)
        if not good:
            return
        for name in COUNTS:
            if values.get(name) not in parameters.UNSET:
                assert number(values[name]) == getattr(found, name), name
        for name in ("seeds", "rates"):
            if isinstance(values.get(name), list) and values[name]:
                assert [number(v) for v in values[name]] == [number(v) for v in getattr(found, name)]
        assert all(0 <= seed <= scales.LARGEST_SEED for seed in found.seeds)
        assert all(math.isfinite(rate) and rate > 0 for rate in found.rates)
        tried(found.apply)

    case()


def test_a_spec_holds_what_it_was_given_or_is_refused(tried):
    @given(st.dictionaries(st.sampled_from(list(FIELDS)), ODD, min_size=1, max_size=2))
    def case(values):
        good, spec = tried(dataclasses.replace, LITERAL, **values)
        if good:
            assert all(getattr(spec, name) is value for name, value in values.items())
            assert "NaN" not in json.dumps(spec.identity) and "Infinity" not in json.dumps(spec.identity)
            assert (spec.id == LITERAL.id) == (spec.identity == LITERAL.identity)

    case()


def test_a_scale_holds_what_it_was_given_or_is_refused(tried, tiny):
    fields = {field.name: getattr(tiny, field.name) for field in dataclasses.fields(scales.Scale)}
    names = [*fields, "every_target", "datasets"]
    parts = st.sampled_from(["source", "shuffles", "every_target", "checkpoints", "controls", "landscape"])
    inner = st.sampled_from(["train", "test", "dev", "epochs", "sizes", "starts", "batch", "points", "mixup"])
    changes = st.dictionaries(st.sampled_from([*names, "epochs"]), ODD, max_size=2)
    nested = st.dictionaries(parts, st.dictionaries(inner, ODD, max_size=2), min_size=1, max_size=2)

    @given(changes | nested)
    def case(values):
        good, scale = tried(tiny.replace, **values)
        if good:
            assert all(math.isfinite(rate) and rate > 0 for rate in scale.rates.values())
            assert all(type(task.epochs) is int and task.epochs >= 1 for task in scale.tasks.values())
            assert all(
                type(getattr(scale, name)) is type(value)
                for name, value in fields.items()
                if dataclasses.is_dataclass(value)
            )

    case()


COMMANDS = (
    ["plan"], ["train"], ["train", "real"], ["train", "source"], ["reproduce"], ["runs", "list"],
    ["runs", "show"], ["data", "check"], ["claims"], ["compare"], ["nonsense"], [],
)  # fmt: skip
OPTIONS = (
    "--scale", "--target", "--seed", "--data", "--pretrained", "--workers", "--epochs", "--images", "--only",
    "--test-images", "--source-images", "--source-epochs", "--block-size", "--init", "--rate", "--retrain",
    "--records", "--within", "--commit", "--decode", "--help", "--nonsense",
)  # fmt: skip
WORDS = st.one_of(
    st.sampled_from(
        ["smoke", "laptop", "real", "xray", "RI-T", "P-T", "low", "high", "*", "8", "0", "1", "2"]
    ),
    st.sampled_from(
        ["folder:", "folder:x", "~nosuch", "-1", "1e9", "nan", "9" * 30, "", " ", "\udcff", "a\nb"]
    ),
    st.text(st.characters(exclude_characters="/\0"), max_size=6),
)


def test_no_words_on_the_command_line_are_a_traceback(command, tried, monkeypatch, tmp_path):
    """Nothing is trained here: what is asked for well ends where training would begin."""
    monkeypatch.chdir(tmp_path)
    for module, name in ((runs, "ensure"), (results, "run")):
        monkeypatch.setattr(module, name, lambda *a, **k: (_ for _ in ()).throw(TlbookError("Trained.")))
    monkeypatch.setattr(executors, "ensure_all", lambda *a, **k: None)
    monkeypatch.setattr(planning, "throughput", lambda scale: 1000.0)
    pairs = st.lists(st.tuples(st.sampled_from(OPTIONS), WORDS), max_size=3)

    @given(st.sampled_from(COMMANDS), st.lists(WORDS, max_size=1), pairs)
    def case(first, words, options):
        def run():
            code, _, err = command(*first, *words, *(word for pair in options for word in pair))
            assert code in (0, 1, 2) and "Traceback" not in err
            if code == 2:
                raise TlbookError("Refused.")

        tried(run)

    case()


# Records, runs, weights


def test_a_damaged_record_is_refused_or_reads_as_it_was(tried, tmp_path):
    keys = {"role": "real", "init": "P-T", "rate": "low", "seed": 0}
    rows = [keys | {"epoch": e, "split": "test", "metric": "accuracy", "value": e / 3} for e in range(4)]
    folder = records.write(
        "laptop", "feature_reuse", {"learning_curves": pd.DataFrame(rows)}, {"seeds": [0]}, tmp_path
    )
    before = records.load_all("laptop", "feature_reuse", tmp_path)["learning_curves"]
    files = {path: path.read_bytes() for path in folder.iterdir()}

    @given(st.sampled_from(sorted(files)).flatmap(lambda p: st.tuples(st.just(p), damaged(files[p]))))
    def case(made):
        path, content = made
        path.write_bytes(content)
        good, found = tried(records.load_all, "laptop", "feature_reuse", tmp_path)
        path.write_bytes(files[path])
        if good:
            pd.testing.assert_frame_equal(found["learning_curves"], before)

    case()


def test_a_damaged_run_is_not_found_or_is_as_it_was(tried, tiny):
    run = runs.ensure(
        dataclasses.replace(grid.ri_t(tiny, "quickdraw", "high", 0), kept=(3,), keep_best=False)
    )
    files = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    before, weights = run.history(), run.weights("final")

    @given(st.sampled_from(sorted(files)).flatmap(lambda p: st.tuples(st.just(p), damaged(files[p]))))
    def case(made):
        path, content = made
        path.write_bytes(content)
        found = runs.find(run.id)
        assert len(runs.every()) + len(runs.damaged()) == 1 and len(runs.every()) == (found is not None)
        if found is not None:
            pd.testing.assert_frame_equal(found.history(), before)
            good, there = tried(found.weights, "final")
            assert not good or all(torch.equal(there[name], weights[name]) for name in weights)
        else:
            tried(lambda: (_ for _ in ()).throw(TlbookError("Damaged.")))
        path.write_bytes(files[path])

    case()


@pytest.mark.filterwarnings("ignore")
def test_damaged_weights_are_refused(tried, tmp_path):
    """Of a safetensors file and of a checkpoint as the official code writes it."""
    state = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(2, dtype=torch.float16)}
    models.save(state, tmp_path / "a.safetensors")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.pth.tar")
    torch.save(state, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    files = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    held = weight_files.register(tmp_path / "a.safetensors", tmp_path / "own")

    @given(st.sampled_from(sorted(files)).flatmap(lambda p: st.tuples(st.just(p), damaged(files[p]))))
    def case(made):
        path, content = made
        path.write_bytes(content)
        tried(models.load if path.suffix == ".safetensors" else models.load_official, path)
        path.write_bytes(files[path])
        if path.suffix == ".safetensors" and content != files[path]:
            shutil.copyfile(path, tmp_path / "copy")
            copy = weight_files.locate(held, tmp_path / "own")
            copy.write_bytes(content)
            assert not tried(weight_files.locate, held, tmp_path / "own")[0]
            shutil.move(tmp_path / "copy", copy)

    case()


# Images, lists, archives

KINDS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "WEBP": "webp"}


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_image_is_refused_or_has_the_pixels_that_its_decoder_gives(tried, tmp_path):
    files = {kind: picture(tmp_path / f"whole.{end}").read_bytes() for kind, end in KINDS.items()}

    @given(st.sampled_from(sorted(files)).flatmap(lambda k: st.tuples(st.just(k), damaged(files[k]))))
    def case(made):
        kind, content = made
        path = tmp_path / f"image.{KINDS[kind]}"
        path.write_bytes(content)
        good, found = tried(decode.decode_image, path, 8, 9)
        if not good:
            return
        assert found.shape == (3, 8, 8) and found.dtype == np.uint8
        with Image.open(path) as opened:  # the same file by the same library, without our checks
            if opened.mode == "RGB" and "transparency" not in opened.info and not opened.getexif():
                assert np.array_equal(np.asarray(opened), np.asarray(decode.open_image(path)))

    case()


def test_damaged_lists_of_images_are_refused_or_name_what_is_there(tried, tmp_path, monkeypatch):
    monkeypatch.setenv("TLBOOK_DATA", str(tmp_path))
    lists = {
        "chexpert": chexpert(tmp_path, train=4, valid=2) / "train.csv",
        "domainnet/real": domainnet(tmp_path, train=6, test=3) / "real_train.txt",
    }
    files = {dataset: path.read_bytes() for dataset, path in lists.items()}

    @given(st.sampled_from(sorted(files)).flatmap(lambda k: st.tuples(st.just(k), damaged(files[k]))))
    def case(made):
        dataset, content = made
        lists[dataset].write_bytes(content)
        good, found = tried(layouts.listing, dataset)
        lists[dataset].write_bytes(files[dataset])
        if good:
            inside = found.folder.resolve()
            assert all((found.folder / path).resolve().is_relative_to(inside) for path in found.paths)

    case()


PARTS = st.sampled_from(
    ["a", "b.png", "..", ".", "", "C:", "CON", "~", "e\u0301", "\u202e", "x" * 300, "a\\b", "."]
)
PATHS = st.lists(PARTS | st.text(max_size=4), min_size=1, max_size=4).map("/".join)


def packed(kind, members):
    """An archive of these names and contents; None where its writer does not take them."""
    file = io.BytesIO()
    try:
        if kind == "zip":
            with zipfile.ZipFile(file, "w") as archive:
                for name, content in members:
                    archive.writestr(name, content)
        else:
            with tarfile.open(fileobj=file, mode=kind) as archive:
                for name, content in members:
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    except (ValueError, IndexError):
        return None
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_archive_writes_outside_or_other_than_it_holds(tried, tmp_path):
    members = st.lists(st.tuples(PATHS, st.binary(max_size=9)), min_size=1, max_size=3)
    kinds = st.sampled_from(["zip", "w:", "w:gz"])

    @given(kinds, members, st.data())
    def case(kind, inside, data):
        content = packed(kind, inside)
        if content is None:
            return
        if data.draw(st.booleans()):
            content = data.draw(damaged(content))
        archive, into = tmp_path / "archive", tmp_path / "into" / "here"
        archive.write_bytes(content)
        tried(unpack.unpack, archive, into, 9, 99)
        written = [path for path in (tmp_path / "into").rglob("*") if path.is_file()]
        contents = {content for _, content in inside}
        assert all(path.is_relative_to(into) for path in written)
        if kind != "w:":  # a plain tar has no checksum of its contents
            assert {path.read_bytes() for path in written} <= contents
        assert {path.name for path in tmp_path.iterdir()} <= {"archive", "into", "runs", "cache"}
        shutil.rmtree(tmp_path / "into", ignore_errors=True)

    case()
