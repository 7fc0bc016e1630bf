"""The embedded family: its shapes against geometry, its things, its images, its refusals."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tlbook.data.embedded import CLASSES, SPLITS, chest, generate
from tlbook.data.embedded.canvas import Dice, Pose, coverage, placed
from tlbook.data.embedded.shapes import (
    box,
    circle,
    ellipse,
    line,
    mirrored,
    petals,
    polygon,
    ring,
    union,
    within,
)
from tlbook.data.embedded.things import COLOURS, SOURCE_THINGS, TARGET_THINGS, Thing
from tlbook.errors import TlbookError

ROLES = tuple(CLASSES)
THINGS = SOURCE_THINGS + TARGET_THINGS
SQUARE = polygon(-1, -1, 1, -1, 1, 1, -1, 1)


def at(shape, x, y):
    """The shape's distance at one point, computed in double precision."""
    sheet = torch.ones(1, 1, 1, dtype=torch.float64)
    return shape(x * sheet, y * sheet).item()


def dice(n, seed=0):
    return Dice(torch.Generator().manual_seed(seed), n)


# ---- shapes


@pytest.mark.parametrize(
    "shape, point, distance",
    [
        (circle(1, 2, 0.5), (1, 2), -0.5),
        (circle(1, 2, 0.5), (4, 6), 4.5),
        (ring(0, 0, 1, 0.1), (0, 0), 0.9),
        (ring(0, 0, 1, 0.1), (0, -1), -0.1),
        (box(0, 0, 2, 1), (0, 0), -1),
        (box(0, 0, 2, 1), (1.5, 0), -0.5),
        (box(0, 0, 2, 1), (5, 5), 5),
        (box(0, 0, 2, 1, turn=math.pi / 2), (0, 3), 1),
        (box(0, 0, 1, 1, corner=1), (3, 4), 4),  # a box of corners alone is a circle
        (line(0, 0, 4, 0, 0.5), (2, 1), 0.5),
        (line(0, 0, 4, 0, 0.5), (7, 4), 4.5),
        (line(0, 0, 4, 0, 0.5), (-3, -4), 4.5),
        (SQUARE, (0.25, 0), -0.75),
        (SQUARE, (3, 0), 2),
        (union(circle(0, 0, 1), circle(5, 0, 1)), (3, 0), 1),
        (within(circle(0, 0, 1), box(0, 1, 1, 1)), (0, 0.4), -0.4),
        (mirrored(circle(2, 0, 1)), (-2, 0), -1),
        (mirrored(circle(2, 0, 1)), (0, 0), 1),
        (ellipse(0, 0, 2, 0.5), (2, 0), 0),
        (ellipse(0, 0, 2, 0.5, turn=math.pi / 2), (0, 2), 0),
        (petals(0, 0, 1, 5, 0.2), (1, 0), 0),  # the tip of a petal
        (petals(0, 0, 1, 5, 0.2), (-0.6, 0), 0),  # between two
    ],
)
def test_distance_at_known_points(shape, point, distance):
    assert at(shape, *point) == pytest.approx(distance, abs=1e-5)


coordinate = st.floats(-2, 2)
size = st.floats(0.05, 1.5)


@st.composite
def true_shapes(draw):
    """A shape whose distance may nowhere change faster than the point moves."""
    x, y, a, b = draw(coordinate), draw(coordinate), draw(size), draw(size)
    turned_box = box(x, y, a, b, corner=min(a, b) / 2, turn=draw(st.floats(0, 3)))
    kinds = [circle(x, y, a), ring(x, y, a, b), turned_box, line(x, y, x + a, y - b, 0.2), SQUARE]
    first, second = draw(st.sampled_from(kinds)), draw(st.sampled_from(kinds))
    return draw(st.sampled_from([first, union(first, second), within(first, second), mirrored(first)]))


@settings(max_examples=100, deadline=None)
@given(true_shapes(), coordinate, coordinate, coordinate, coordinate)
def test_distance_changes_no_faster_than_the_point_moves(shape, x0, y0, x1, y1):
    moved = math.hypot(x1 - x0, y1 - y0)
    assert abs(at(shape, x1, y1) - at(shape, x0, y0)) <= moved + 1e-9


@settings(max_examples=100, deadline=None)
@given(size, size, st.floats(0, 2 * math.pi), st.floats(-1.5, 1.5))
def test_ellipse_is_right_to_first_order_at_its_edge(across, up, angle, turn):
    edge = across * math.cos(angle), up * math.sin(angle)
    normal = edge[0] / across**2, edge[1] / up**2
    step = 1e-4 * min(across, up) / math.hypot(*normal)
    outside = edge[0] + step * normal[0], edge[1] + step * normal[1]
    cos, sin = math.cos(turn), math.sin(turn)
    turned = cos * outside[0] - sin * outside[1], sin * outside[0] + cos * outside[1]
    assert at(ellipse(0, 0, across, up, turn), *turned) == pytest.approx(
        step * math.hypot(*normal), rel=0.02, abs=4e-6
    )


def test_numbers_may_differ_from_image_to_image():
    radius = torch.tensor([0.2, 0.6])[:, None, None]
    x = torch.full((2, 1, 1), 1.0)
    assert circle(0, 0, radius)(x, 0 * x).flatten().tolist() == pytest.approx([0.8, 0.4])


@pytest.mark.parametrize("side", [32, 64])
def test_coverage_adds_up_to_the_area(side):
    frame = placed(dice(1), side, Pose(turn=0, size=(0.8, 0.8), squeeze=0, wobble=0))
    covered = frame.coverage(circle(0, 0, 1)(frame.x, frame.y)).sum() * (2 / side) ** 2
    assert covered.item() == pytest.approx(math.pi * 0.8**2, rel=0.01)
    assert coverage(torch.tensor([-1.0, 0.0, 1.0]), 0.1).tolist() == [1, 0.5, 0]


# ---- things


def grid(n, half_width, points=121):
    """n times the same square grid of points."""
    line = torch.linspace(-half_width, half_width, points)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x.expand(n, -1, -1), y.expand(n, -1, -1)


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.name)
def test_every_part_lies_in_the_disc_and_shows(thing):
    x, y = grid(12, 1.2)
    parts = [(part.name, part.shape(x, y) < 0) for part in thing.parts(dice(12).between)]
    beyond = x**2 + y**2 > 1
    for name, inside in parts:
        assert not (inside & beyond).any(), f"the {name} leaves the disc"
    for k, (name, inside) in enumerate(parts):
        above = torch.stack([other for _, other in parts[k + 1 :]] or [torch.zeros_like(inside)]).any(0)
        assert (inside & ~above).flatten(1).any(1).all(), f"the {name} is hidden"


def test_source_and_targets_share_no_thing_and_name_known_colours():
    names = [thing.name for thing in THINGS]
    assert len(set(names)) == len(names) == 26
    for palette in (palette for thing in THINGS for palette in thing.palettes):
        assert len(palette.split()) == 3 and set(palette.split()) <= set(COLOURS)


def test_a_part_is_a_line_of_words():
    """A range is another number in each image, and the same one where it stands twice."""
    lines = (
        "main body circle 0 0 0.2~0.6",
        "accent eyes circle 0.3 0 0.1 box 0 0 0.2~0.6 1 mirrored in body",
    )
    body, eyes = Thing("x", (), lines).parts(lambda low, high: torch.tensor([low, high])[:, None, None])
    assert (body.name, body.slot, eyes.slot) == ("body", 0, 2)
    x, y = torch.tensor([0.5, -0.5, 0.1]), torch.zeros(3)
    x, y = x.expand(2, 1, 3), y.expand(2, 1, 3)
    assert (body.shape(x, y) < 0)[:, 0].tolist() == [[False, False, True], [True, True, True]]
    assert (eyes.shape(x, y) < 0)[:, 0].tolist() == [[False, False, True], [True, True, True]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 3), st.floats(0.4, 0.9), st.floats(0, 0.4), st.floats(0, 0.05))
def test_a_pose_keeps_the_disc_in_the_image(seed, turn, largest, squeeze, wobble):
    frame = placed(dice(8, seed), 32, Pose(turn, (0.4, largest), squeeze, wobble))
    at_border = torch.ones(32, 32, dtype=torch.bool)
    at_border[1:-1, 1:-1] = False
    from_centre = torch.hypot(frame.x, frame.y)[:, at_border]
    assert from_centre.min() > 1 - frame.pixel.max()  # the border's pixels are centred half a pixel inside


# ---- images


@pytest.fixture(scope="module")
def family():
    """Every role and split, 60 images each."""
    return {(role, split): generate(role, split, 60) for role in ROLES for split in SPLITS}


def test_images_and_labels_have_the_promised_types(family):
    for (role, _), (images, labels) in family.items():
        assert images.dtype == torch.uint8 and images.shape == (60, 3, 32, 32)
        if role == "xray":
            assert labels.dtype == torch.float32 and labels.shape == (60, len(CLASSES["xray"]))
            assert set(labels.unique().tolist()) == {0, 1}
        else:
            assert labels.dtype == torch.int64 and labels.shape == (60,)


def test_images_use_the_range_of_brightness(family):
    for images, _ in family.values():
        assert images.min() < 30 and images.max() > 225
        assert (images.flatten(1).float().std(1) > 8).all(), "an image is blank"


@pytest.mark.parametrize("role", [role for role in ROLES if role != "xray"])
@pytest.mark.parametrize("count", [1, 47, 60])
def test_classes_are_balanced_and_shuffled(role, count):
    labels = generate(role, "dev", count, side=16)[1]
    counts = torch.bincount(labels, minlength=len(CLASSES[role]))
    assert counts.sum() == count and counts.max() - counts.min() <= 1
    assert count == 1 or not torch.equal(labels, labels.sort().values)


def test_findings_are_equally_frequent_and_independent():
    labels = generate("xray", "train", 2000, side=16)[1]
    assert (labels.sum(0) == round(chest.PREVALENCE * 2000)).all()
    correlation = torch.corrcoef(labels.T) - torch.eye(labels.shape[1])
    assert correlation.abs().max() < 0.1


@pytest.mark.parametrize("role", ROLES)
def test_the_same_call_gives_the_same_images(role, family):
    torch.manual_seed(99)  # the global generator must not matter
    images, labels = generate(role, "train", 60)
    assert torch.equal(images, family[role, "train"][0]) and torch.equal(labels, family[role, "train"][1])


def test_no_image_occurs_twice_in_or_across_splits(family):
    for role in ROLES:
        images = [image.numpy().tobytes() for split in SPLITS for image in family[role, split][0]]
        assert len(set(images)) == len(images) == 180


def test_images_of_a_class_resemble_each_other_more_than_those_of_others():
    """Nearest class mean, drawings: far above the 10 % of chance without any training."""
    images, labels = generate("quickdraw", "train", 400)
    others, truth = generate("quickdraw", "test", 400)
    means = torch.stack([images[labels == k].float().mean(0) for k in range(10)]).flatten(1)
    guesses = torch.cdist(others.float().flatten(1), means).argmin(1)
    assert (guesses == truth).float().mean() > 0.2


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("side", [16, 48])
def test_other_sides(role, side):
    assert generate(role, "test", 3, side)[0].shape == (3, 3, side, side)


def test_drawings_leave_the_border_white(family):
    """No drawing is cut off: only the pen's own width can reach the outermost pixels."""
    for split in SPLITS:
        images = family["quickdraw", split][0]
        border = torch.cat([images[:, :, [0, -1]].flatten(1), images[:, :, :, [0, -1]].flatten(1)], 1)
        assert (border > 200).float().mean() > 0.995


# ---- findings

WHERE = {  # rows from top to bottom, columns from left to right, in fractions of the side
    "large heart": ((0.45, 0.85), (0.25, 0.90)),
    "effusion": ((0.35, 0.90), (0.05, 0.95)),
    "nodule": ((0.15, 0.75), (0.05, 0.95)),
    "pneumothorax": ((0.05, 0.90), (0.02, 0.98)),
    "infiltrate": ((0.10, 0.90), (0.05, 0.95)),
    "pacemaker": ((0.10, 0.75), (0.05, 0.95)),
}


@pytest.mark.parametrize("finding", chest.FINDINGS)
def test_a_finding_changes_its_region_and_little_else(finding):
    n, side = 40, 32
    without = torch.zeros(n, len(chest.FINDINGS))
    with_it = without.clone()
    with_it[:, chest.FINDINGS.index(finding)] = 1
    change = (chest.draw(with_it, dice(n, 5), side) - chest.draw(without, dice(n, 5), side))[:, 0].abs()
    assert (change.flatten(1).max(1).values > 0.06).all(), "invisible in an image"
    (top, bottom), (left, right) = WHERE[finding]
    region = torch.zeros(side, side, dtype=torch.bool)
    region[int(top * side) : int(bottom * side), int(left * side) : int(right * side)] = True
    assert change[:, region].sum() > 0.95 * change.sum()


def test_other_findings_stay_when_one_comes():
    """The nodule of a chest lies where it lay, whatever else its owner has."""
    n, nodule = 10, chest.FINDINGS.index("nodule")
    few = torch.zeros(n, len(chest.FINDINGS))
    many = few.clone()
    many[:, chest.FINDINGS.index("pacemaker")] = 1
    spots = []
    for labels in (few, many):
        added = labels.clone()
        added[:, nodule] = 1
        spots.append(chest.draw(added, dice(n, 7), 32) - chest.draw(labels, dice(n, 7), 32))
    places = [spot[:, 0].flatten(1).argmax(1) for spot in spots]
    assert (places[0] == places[1]).float().mean() > 0.8


# ---- refusals


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("photo", "train", 10), "no role 'photo'.*source, real, clipart, quickdraw, xray"),
        (("real", "validation", 10), "no split 'validation'.*train, dev, test"),
        (("real", "train", 0), "1 or more, not 0"),
        (("real", "train", -3), "1 or more, not -3"),
        (("real", "train", 10, 15), "16 pixels or more, not 15"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(arguments, words):
    with pytest.raises(TlbookError, match=words) as refusal:
        generate(*arguments)
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")
