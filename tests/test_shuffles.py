"""Shuffles: properties, a slow reference in the design's words, and the official code's permutations."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tlbook.data.shuffles import Shuffle, apply, index
from tlbook.errors import TlbookError

PARITY = Path(__file__).parent / "parity"
SIDES = (1, 2, 6, 8, 12, 14, 32)
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
WHOLE = [torch.bool, torch.uint8, torch.uint16, torch.int64]
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]

seeds = st.integers(0, 2**32 - 1)
# No deadline: the tests run beside others on a busy machine.
sampled = settings(deadline=None, max_examples=50)


@st.composite
def block_cases(draw):
    """A side, a block size that divides it, a number of channels and a seed."""
    side = draw(st.sampled_from(SIDES))
    size = draw(st.sampled_from([d for d in range(1, side + 1) if side % d == 0]))
    return side, size, draw(st.integers(1, 4)), draw(seeds)


def numbered(count, channels, side):
    """Images whose every value is different."""
    return torch.arange(count * channels * side * side).reshape(count, channels, side, side)


def blocks_of(image, size):
    """The blocks of one image (c, side, side) in row-major order."""
    starts = range(0, image.shape[1], size)
    return [image[:, r : r + size, c : c + size] for r in starts for c in starts]


# Properties


@sampled
@given(block_cases())
def test_blocks_trade_places_as_the_seed_s_permutation_says(case):
    side, size, channels, seed = case
    image = numbered(1, channels, side)
    before = blocks_of(image[0], size)
    after = blocks_of(apply(Shuffle.block(size, seed), image)[0], size)
    permutation = np.random.RandomState(seed).permutation(len(before))
    assert all(torch.equal(after[k], before[permutation[k]]) for k in range(len(before)))


@sampled
@given(st.sampled_from(SIDES), st.integers(1, 4), seeds)
def test_pixels_trade_places_across_channels(side, channels, seed):
    image = numbered(1, channels, side)
    after = apply(Shuffle.pixel(seed), image)
    permutation = np.random.RandomState(seed).permutation(channels * side * side)
    np.testing.assert_array_equal(after.flatten(), image.flatten().numpy()[permutation])


@sampled
@given(block_cases(), st.booleans(), st.integers(0, 5))
def test_every_image_is_shuffled_alike_and_nothing_is_lost(case, pixel, count):
    side, size, channels, seed = case
    shuffle = Shuffle.pixel(seed) if pixel else Shuffle.block(size, seed)
    images = numbered(count, channels, side)
    before = images.clone()
    after = apply(shuffle, images)
    assert after.shape == images.shape and torch.equal(images, before)
    source = index(shuffle, channels, side)
    assert sorted(source.tolist()) == list(range(channels * side * side))
    for image, shuffled in zip(images, after, strict=True):
        assert torch.equal(shuffled.flatten(), image.flatten()[source])


@sampled
@given(block_cases(), st.booleans())
def test_the_index_inverts_the_shuffle(case, pixel):
    side, size, channels, seed = case
    shuffle = Shuffle.pixel(seed) if pixel else Shuffle.block(size, seed)
    images = numbered(2, channels, side)
    after = apply(shuffle, images).flatten(1)
    back = torch.empty_like(after)
    back[:, index(shuffle, channels, side)] = after
    assert torch.equal(back.view_as(images), images)


@sampled
@given(st.sampled_from(SIDES), st.integers(1, 4), seeds)
def test_a_block_as_large_as_the_image_changes_nothing(side, channels, seed):
    images = numbered(2, channels, side)
    assert torch.equal(apply(Shuffle.block(side, seed), images), images)
    assert Shuffle.of(side, side, seed) == Shuffle.none()
    assert apply(Shuffle.none(), images) is images
    assert torch.equal(index(Shuffle.none(), channels, side), torch.arange(channels * side * side))


# Dtypes, devices, layouts


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", WHOLE + FLOATS, ids=str)
@pytest.mark.parametrize("shuffle", [Shuffle.block(4, 1234), Shuffle.pixel(1234)], ids=str)
def test_any_dtype_and_device(shuffle, dtype, device):
    images = (numbered(3, 3, 8) % 251).to(dtype).to(device)
    after = apply(shuffle, images)
    assert after.dtype == dtype and after.device.type == device
    expected = images.cpu().flatten(1).tolist()
    source = index(shuffle, 3, 8).tolist()
    assert after.cpu().flatten(1).tolist() == [[image[i] for i in source] for image in expected]


def test_channels_last_images_are_shuffled_like_others():
    images = torch.randn(4, 3, 8, 8)
    last = images.to(memory_format=torch.channels_last)
    assert torch.equal(apply(Shuffle.block(2, 1), last), apply(Shuffle.block(2, 1), images))


# The official code


def official_side32():
    return json.loads((PARITY / "shuffles_side32.json").read_text())


@pytest.mark.parametrize("seed", [1234, 1235, 1236])
@pytest.mark.parametrize("block_size", ["*", 1, 2, 4, 8, 16, 32])
def test_shuffles_of_32_pixels_equal_the_official_code(block_size, seed):
    key = f"pixel/seed{seed}" if block_size == "*" else f"block/size{block_size}/seed{seed}"
    shuffled = apply(Shuffle.of(block_size, 32, seed), numbered(1, 3, 32))[0]
    content = np.ascontiguousarray(shuffled.numpy().astype("<u2")).tobytes()
    assert hashlib.sha256(content).hexdigest() == official_side32()[key]


@pytest.mark.parametrize("seed", [1234, 1235, 1236])
@pytest.mark.parametrize("size", [14, 16, 28, 32, 56, 112])
def test_permutations_of_224_pixels_equal_the_official_code(size, seed):
    with np.load(PARITY / "shuffles_side224.npz", allow_pickle=False) as file:
        official = file[f"size{size}/seed{seed}"]
    corners = index(Shuffle.of(size, 224, seed), 1, 224).view(224, 224)[::size, ::size]
    row, column = corners // 224 // size, corners % 224 // size
    np.testing.assert_array_equal((row * (224 // size) + column).flatten(), official)


# What `of` makes, and what is refused


def test_block_sizes_as_tables_name_them():
    assert Shuffle.of("*", 32, 5) == Shuffle("pixel", None, 5)
    assert Shuffle.of("8", 32, 5) == Shuffle.of(8, 32, 5) == Shuffle("block", 8, 5)
    assert Shuffle.of("32", 32, 5) == Shuffle("none")


@sampled
@given(st.sampled_from(SIDES), st.integers(-3, 300))
def test_a_size_that_does_not_divide_the_side_is_refused_with_those_that_do(side, size):
    divisors = [d for d in range(1, side + 1) if side % d == 0]
    if size in divisors:
        assert Shuffle.of(size, side, 0).size == (None if size == side else size)
        return
    with pytest.raises(TlbookError) as error:
        Shuffle.of(size, side, 0)
    assert str(error.value).endswith("valid: '*', " + ", ".join(map(str, divisors)) + ".")
    if size > 0:
        with pytest.raises(TlbookError, match=f"{size} does not divide"):
            apply(Shuffle.block(size, 0), numbered(1, 3, side))


@pytest.mark.parametrize("size", [7, 64, 0, -4, 8.0, "eight", "", None, True])
def test_what_is_no_block_size_is_refused(size):
    with pytest.raises(TlbookError, match="valid: '\\*', 1, 2, 4, 8, 16, 32"):
        Shuffle.of(size, 32, 0)


@pytest.mark.parametrize(
    "arguments",
    [("blocks",), ("none", 4), ("block", 4), ("block", None, 1), ("pixel",), ("pixel", 4, 1), ("block", 0, 1),
     ("block", 2.0, 1), ("pixel", None, -1), ("pixel", None, 2**32), ("block", 4, 1.5)],
)  # fmt: skip
def test_an_impossible_shuffle_is_refused(arguments):
    with pytest.raises(TlbookError) as error:
        Shuffle(*arguments)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 3, 8, 4), (2, 192)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(TlbookError, match="must be \\(n, c, side, side\\)"):
        apply(Shuffle.none(), torch.zeros(shape))
