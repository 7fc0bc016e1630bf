"""Image files to pixels, and the cache of them; domains from folders."""

import errno
import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from images import class_folders, picture
from PIL import Image, ImageFile

from tlbook import data
from tlbook.data import decode, embedded
from tlbook.data.stream import Stream
from tlbook.data.views import CHAINS
from tlbook.questions import grid, plan
from tlbook.training import executors, runs


def cached(tmp_path):
    return sorted((tmp_path / "cache" / "views").glob("*.npy"))


def request(folder, side=8, train=100, test=100, chooses=True):
    return data.Request(f"folder:{folder}", side, round(side * 8 / 7), train, 0, test, chooses)


def load(*args, **how):
    """As another process would."""
    data._load.cache_clear()
    return data.load(request(*args, **how))


# One image


def test_short_side_is_scaled_and_the_centre_kept(tmp_path):
    picture(tmp_path / "wide.png", size=(60, 30))
    found = decode.decode_image(tmp_path / "wide.png", side=14, resized=16)
    small = Image.open(tmp_path / "wide.png").resize((32, 16), Image.Resampling.BILINEAR)
    assert found.dtype == np.uint8 and found.shape == (3, 14, 14)
    assert np.array_equal(found.transpose(1, 2, 0), np.asarray(small)[1:15, 9:23])


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (300, 7)])
def test_any_size_fits(tmp_path, size):
    picture(tmp_path / "odd.png", size=size)
    assert decode.decode_image(tmp_path / "odd.png", 32, 37).shape == (3, 32, 32)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "RGBA", "LA"])
def test_other_modes_become_rgb(tmp_path, mode):
    ending = "tif" if mode == "CMYK" else "png"
    path = picture(tmp_path / f"image.{ending}", size=(8, 8), mode=mode)
    with Image.open(path) as image:
        assert image.mode == mode
        expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(decode.decode_image(path, 8, 8), expected)


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (200, 0, 0, 255)
    rgba[2:, :2] = (0, 0, 0, 0)
    rgba[2:, 2:] = (0, 0, 0, 51)  # a fifth of black over white
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    found = decode.decode_image(tmp_path / "clear.png", 4, 4).transpose(1, 2, 0)
    assert (found[:2] == (200, 0, 0)).all()
    assert (found[2:, :2] == 255).all() and (found[2:, 2:] == 204).all()


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bit_grey_keeps_its_range(tmp_path, ending):
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / f"deep.{ending}")
    found = decode.decode_image(tmp_path / f"deep.{ending}", 8, 8)
    assert np.abs(found - grey / 257).max() <= 1 and found.max() == 255 and found.min() == 0


TURNS = {  # EXIF orientation -> how the pixels are stored, given the upright ones
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.swapaxes(0, 1),
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


def turned(path, orientation, mode="RGB"):
    """The pixels of `picture`, stored turned, with the tag that turns them back."""
    upright = picture(path.with_name("upright.png"), seed=3, size=(21, 14), mode=mode)
    with Image.open(upright) as image:
        stored = Image.fromarray(np.ascontiguousarray(TURNS[orientation](np.asarray(image))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(path, exif=exif)
    return upright, path


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_photo_held_sideways_is_turned_upright(tmp_path, orientation, mode):
    upright, stored = turned(tmp_path / "turned.png", orientation, mode)
    expected = decode.decode_image(upright, 8, 9)
    assert np.array_equal(decode.decode_image(stored, 8, 9), expected)
    streamed = CHAINS["square"].test(stored, 8, 9)
    assert np.array_equal(streamed, expected)


def test_the_paper_s_chains_leave_a_photo_as_it_is_stored(tmp_path):
    """As the official code does."""
    _, stored = turned(tmp_path / "turned.png", 6)
    bare = tmp_path / "bare.png"
    with Image.open(stored) as image:
        Image.fromarray(np.asarray(image)).save(bare)
    for name in ("natural", "chest"):
        chain = CHAINS[name]
        assert np.array_equal(chain.test(stored, 8, 9), chain.test(bare, 8, 9))
        one, other = (chain.train(path, 8, np.random.default_rng(0)) for path in (stored, bare))
        assert np.array_equal(one, other)


def test_a_photo_with_damaged_tags_is_read_as_it_is_stored(tmp_path):
    path = picture(tmp_path / "a.png")
    with Image.open(path) as image:
        image.save(tmp_path / "b.png", exif=b"Exif\0\0no tags at all")
    with Image.open(tmp_path / "b.png") as image, pytest.raises(SyntaxError):
        image.getexif()
    assert np.array_equal(decode.decode_image(tmp_path / "b.png", 8, 9), decode.decode_image(path, 8, 9))


def damaged(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, "JPEG" if kind == "jpeg" else "PNG")
    return whole.getvalue()[:200] if kind != "text" else b"not an image at all"


@pytest.mark.parametrize("kind", ["jpeg", "png", "text"])
def test_what_is_no_whole_image_is_refused_by_name(tmp_path, kind, refused):
    (tmp_path / "bad.png").write_bytes(damaged(kind))
    refused("bad.png is (corrupt|not an image)", decode.decode_image, tmp_path / "bad.png", 8, 9)


def test_a_huge_image_is_refused_as_too_large(tmp_path, monkeypatch, refused):
    path = picture(tmp_path / "huge.png", size=(60, 51))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    refused("huge.png is too large: at most 3,000 pixels", decode.decode_image, path, 8, 9)


def test_a_large_image_is_read_without_a_warning(tmp_path):
    """In a process of its own, since pytest sets the filters of warnings anew for each test."""
    path = picture(tmp_path / "large.png", size=(50, 50))
    code = (
        "from pathlib import Path; from PIL import Image; from tlbook.data import decode; "
        f"Image.MAX_IMAGE_PIXELS = 1500; print(decode.decode_image(Path({str(path)!r}), 8, 9).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("(3, 8, 8)\n", "")


@pytest.mark.parametrize("size", [(2_000_000, 1), (1, 5_000_000), (1001, 1)])
@pytest.mark.parametrize("chain", CHAINS)
def test_a_long_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch, chain, size, refused):
    Image.new("1", size).save(tmp_path / "long.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    match = f"long.png is {size[0]:,} x {size[1]:,} pixels; one side may be at most 1,000 times"
    refused(match, CHAINS[chain].test, tmp_path / "long.png", 32, 37)


def test_our_limit_on_pixels_holds_without_the_limit_of_pil(tmp_path, monkeypatch, refused):
    Image.new("1", (20_000, 10_000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    refused("bomb.png is too large: at most 178,956,970", decode.decode_image, tmp_path / "bomb.png", 8, 9)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PPM", "TGA", "PCX", "SGI", "JPEG2000", "PDF"])
@pytest.mark.parametrize("chain", CHAINS)
def test_only_the_listed_formats_are_opened(tmp_path, monkeypatch, kind, chain, refused):
    path = tmp_path / "x.jpg"
    if kind == "EPS":
        path.write_bytes(POSTSCRIPT)
    else:
        Image.new("RGB", (40, 40)).save(path, kind)
    monkeypatch.setattr(subprocess, "check_call", lambda *a, **how: pytest.fail("run"))
    refused(
        "x.jpg is not an image, .* BMP, GIF, JPEG, PNG, TIFF, WEBP are read", CHAINS[chain].test, path, 8, 9
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP"])
def test_the_listed_formats_are_read_whatever_the_ending(tmp_path, kind):
    Image.new("RGB", (20, 20), (200, 100, 0)).save(tmp_path / "x.jpg", kind)
    found = decode.decode_image(tmp_path / "x.jpg", 8, 9)
    assert np.abs(found.mean((1, 2)) - (200, 100, 0)).max() < 3


def png16(path, values, colour=0, clear=None):
    """A PNG of 16 bits by hand: ``colour`` 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    trns = b"" if clear is None else chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear))
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    content = chunk(b"IHDR", header) + trns + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_fewer_bits_in_sixteen_are_refused(tmp_path, bits, colour, refused):
    values = np.random.default_rng(0).integers(0, 1 << bits, (20, 20, 1))
    values = np.repeat(values[:, :, :1], {0: 1, 2: 3, 4: 2, 6: 4}[colour], 2)
    if colour >= 4:
        values[:, :, -1] = 65535
    path = png16(tmp_path / "x.png", values, colour)
    for chain in CHAINS.values():
        refused("x.png has 16 bits, of which its values fill up to", chain.test, path, 8, 9)


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_sixteen_bits_are_read(tmp_path, colour):
    grey = np.linspace(0, 65535, 64).astype(int).reshape(8, 8)
    values = np.repeat(grey[:, :, None], {0: 1, 2: 3, 4: 2, 6: 4}[colour], 2)
    if colour >= 4:
        values[:, :, -1] = 65535
    found = decode.decode_image(png16(tmp_path / "x.png", values, colour), 8, 8)
    assert np.abs(found - grey / 257).max() <= 1


def test_a_dark_image_that_loses_nothing_is_read(tmp_path):
    for scale in (0, 257):
        values = np.tile(np.arange(20), (20, 1)) * scale
        found = decode.decode_image(png16(tmp_path / "x.png", values), 20, 20)
        assert np.array_equal(found[0], values // 257)


@pytest.mark.parametrize("colour", [0, 2])
def test_a_transparent_colour_of_sixteen_bits_is_refused(tmp_path, colour, refused):
    values = np.full((8, 8, 1 + colour), 65535)
    path = png16(tmp_path / "x.png", values, colour, clear=[65535] * (1 + colour))
    refused("transparent colour in other than 8 bits", decode.decode_image, path, 8, 9)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
@pytest.mark.parametrize("top", [1, 255, 65535, 1e9])
def test_float_and_32_bit_pixels_are_refused(tmp_path, kind, top, refused):
    values = (np.random.default_rng(0).random((20, 20)) * top).astype(kind)
    Image.fromarray(values).save(tmp_path / "x.tif")
    for chain in CHAINS.values():
        refused("x.tif has pixels of mode [FI] ", chain.test, tmp_path / "x.tif", 8, 9)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
@pytest.mark.parametrize("chain", CHAINS)
def test_a_transparent_colour_becomes_white(tmp_path, mode, chain):
    image = Image.new(mode, (16, 16), 0)
    image.save(tmp_path / "x.png", transparency={"L": 0, "RGB": (0, 0, 0), "P": 0}[mode])
    assert (CHAINS[chain].test(tmp_path / "x.png", 8, 9) == 255).all()


# Whole data sets


def test_domain_of_a_folder(tmp_path):
    found = load(class_folders(tmp_path / "mine", count=20))
    assert found.classes == ("cat", "dog") and not found.multilabel
    assert [len(part) for part in (found.train, found.dev, found.test)] == [18, 2, 20]
    for part in (found.train, found.dev, found.test):
        assert part.images.dtype == torch.uint8 and part.images.shape[1:] == (3, 8, 8)
        for image, label, path in zip(part.images, part.labels, part.paths, strict=True):
            assert np.array_equal(image, decode.decode_image(tmp_path / "mine" / path, 8, 9))
            assert path.startswith(found.classes[label])


def test_a_source_holds_out_no_dev_and_an_official_split_is_kept(tmp_path):
    class_folders(tmp_path / "mine" / "train", count=10)
    class_folders(tmp_path / "mine" / "val", count=3)
    found = load(tmp_path / "mine", chooses=False)
    assert [len(part) for part in (found.train, found.dev, found.test)] == [20, 0, 6]
    found = load(tmp_path / "mine", train=9, test=4)
    assert [len(part) for part in (found.train, found.dev, found.test)] == [9, 2, 4]
    assert all(path.startswith("val/") for path in found.test.paths)


def test_of_three_parts_val_alone_chooses(tmp_path):
    for part, count in (("train", 5), ("val", 3), ("test", 4)):
        class_folders(tmp_path / "mine" / part, count=count)
    found = load(tmp_path / "mine")
    parts = {"train": found.train, "val": found.dev, "test": found.test}
    assert [len(part) for part in parts.values()] == [10, 6, 8]
    assert all(path.startswith(f"{name}/") for name, part in parts.items() for path in part.paths)


def test_the_second_call_decodes_nothing(tmp_path, monkeypatch):
    first = load(class_folders(tmp_path / "mine"))
    assert len(cached(tmp_path)) == 3
    monkeypatch.setattr(Stream, "_decoded", lambda *a: pytest.fail("decoded again"))
    second = load(tmp_path / "mine")
    assert torch.equal(first.train.images, second.train.images) and first.digest == second.digest


def test_changed_content_is_decoded_anew_and_changes_the_digest(tmp_path):
    before = load(class_folders(tmp_path / "mine"))
    path = before.train.paths[0]
    picture(tmp_path / "mine" / path, seed=12345)
    after = load(tmp_path / "mine")
    assert after.digest != before.digest and after.train.paths == before.train.paths
    assert torch.equal(after.train.images[1:], before.train.images[1:])
    assert not torch.equal(after.train.images[0], before.train.images[0])
    assert torch.equal(after.test.images, before.test.images) and after.evaluated == before.evaluated
    picture(tmp_path / "mine" / before.test.paths[0], seed=12345)
    last = load(tmp_path / "mine")
    assert last.digest == after.digest and last.evaluated != after.evaluated


def test_renaming_changes_no_pixel(tmp_path):
    before = load(class_folders(tmp_path / "mine"))
    for image in (tmp_path / "mine").glob("*/*.png"):
        image.rename(image.with_stem(f"renamed_{image.stem}"))
    after = load(tmp_path / "mine")
    assert torch.equal(after.train.images, before.train.images)
    assert after.digest != before.digest  # of paths too
    (tmp_path / "mine").rename(tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere").digest == after.digest


@pytest.mark.parametrize("content", [b"", damaged("jpeg"), b"text"])
def test_a_bad_file_is_refused_and_leaves_nothing_half_written(tmp_path, content, refused):
    folder = class_folders(tmp_path / "mine")
    whole = load(folder)
    (folder / whole.train.paths[3]).write_bytes(content)
    before = cached(tmp_path)
    refused(f"{whole.train.paths[3]} is ", load, folder)
    assert cached(tmp_path) == before


def test_a_write_that_fails_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(partial, path):
        assert partial.stat().st_size
        raise OSError(errno.ENOSPC, "no space left")

    folder = class_folders(tmp_path / "mine")
    data.identify(request(folder))  # the digests are written
    monkeypatch.setattr(decode.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        load(folder)
    assert [path for path in (tmp_path / "cache" / "views").iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize("left", [0, 50, -10])
def test_a_damaged_cache_is_decoded_again(tmp_path, left):
    before = load(class_folders(tmp_path / "mine"))
    for file in cached(tmp_path):
        file.write_bytes(file.read_bytes()[:left])
    assert torch.equal(load(tmp_path / "mine").train.images, before.train.images)


def test_a_file_that_cannot_be_found_is_refused_by_name(tmp_path, refused):
    refused("gone.png cannot be read", decode.digest_files, tmp_path, ["gone.png"])


def test_too_few_images_are_refused(tmp_path, refused):
    folder = class_folders(tmp_path / "mine", count=3)
    refused("'cat' has 3 image.*at least 4", load, folder)
    class_folders(folder, ("cat", "dog", "eel"), count=8)
    refused("cap of 2 images is fewer than the 3 classes", load, folder, train=2)
    refused("cap of 1 images is fewer than the 3 classes", load, folder, test=1)


def test_statistics_are_of_the_training_pixels(tmp_path):
    found = load(class_folders(tmp_path / "mine"))
    mean, std = found.mean_and_std
    pixels = found.train.images.numpy().astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
    assert np.allclose(mean, pixels.mean(1), rtol=1e-5) and np.allclose(std, pixels.std(1), rtol=1e-4)


# Which images they are, without their pixels


def test_identifying_and_planning_decode_and_draw_nothing(tmp_path, monkeypatch, tiny):
    folder = class_folders(tmp_path / "mine", count=12)
    own = tiny.replace(datasets={"clipart": f"folder:{folder}"})
    wanted = [data.request(own, role) for role in ("source", *own.targets)]
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *a, **how: pytest.fail("decoded"))
        patch.setattr(embedded, "generate", lambda *a: pytest.fail("drawn"))
        identities = [data.identify(request) for request in wanted]
        counted = plan.plan(own, own.targets, own.seeds)
        with pytest.raises(pytest.fail.Exception, match="decoded"):
            data.load(wanted[2])
    assert counted.passes.iloc[-1] > 0 and not runs.root().exists()
    for identity, request in zip(identities, wanted, strict=True):
        domain = data.load(request)
        assert (identity.digest, identity.evaluated) == (domain.digest, domain.evaluated)
        assert (identity.classes, identity.multilabel) == (domain.classes, domain.multilabel)
        for split in data.SPLITS:
            names, examples = getattr(identity, split), getattr(domain, split)
            assert torch.equal(names.labels, examples.labels) and names.paths == examples.paths
            assert len(names) == len(examples.images)


def test_a_damaged_image_is_refused_before_anything_is_trained(tmp_path, tiny, refused):
    folder = class_folders(tmp_path / "mine", count=12)
    (folder / "cat" / "03.png").write_bytes(damaged("png"))
    own = tiny.replace(datasets={"clipart": f"folder:{folder}"})
    specs = [grid.source(own), grid.ri_t(own, "clipart", "low", 0)]
    refused("03.png is corrupt", executors.ensure_all, specs, workers=1, show=False)
    assert not runs.root().exists()


def test_images_that_change_after_they_were_identified_are_loaded_as_what_they_are(tmp_path):
    folder = class_folders(tmp_path / "mine")
    before = data.identify(request(folder))
    picture(folder / before.train.paths[0], seed=12345)
    assert data.identify(request(folder)).digest == before.digest  # this process knows them
    assert load(folder).digest != before.digest


# The embedded family


def test_embedded_domains_name_how_they_are_drawn(tiny):
    found = data.load(data.request(tiny, "quickdraw"))
    again = data.load(data.request(tiny.replace(epochs=9), "quickdraw"))
    xray = data.load(data.request(tiny, "xray"))
    source = data.load(data.request(tiny, "source"))
    assert again.digest == found.digest != data.load(data.request(tiny, "clipart")).digest
    assert [len(part) for part in (found.train, found.dev, found.test)] == [40, 20, 40]
    assert xray.multilabel and xray.train.labels.shape == (40, len(xray.classes))
    assert len(source.dev) == 0 and len(source.classes) >= 16
