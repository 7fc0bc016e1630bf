"""Lines and barriers against bowls and wells whose barriers are known, and against runs' own metrics."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tlbook.errors import TlbookError
from tlbook.models import build
from tlbook.models.family import Network, average_batch_norm
from tlbook.models.interpolation import average, check_pair, interpolate, norm
from tlbook.questions.loss_landscape.method import barrier
from tlbook.questions.loss_landscape.method.evaluation import Evaluator

PLACES = np.linspace(0, 1, 1001)


class Landscape:
    """A made-up loss of one number, in an evaluator's place."""

    def __init__(self, loss):
        self.loss, self.seen = loss, []

    def measure(self, state, splits=()):
        self.seen.append(state["x"].item())
        return {("test", "loss"): float(self.loss(state["x"].item()))}


def one(x: float) -> dict:
    return {"x": torch.tensor([x], dtype=torch.float64)}


def on_line(loss, first, second, places=PLACES):
    line = barrier.along(Landscape(loss), one(first), one(second), places)
    return barrier.barrier(line.alpha, line.value, "loss")


def test_a_bowl_has_no_barrier():
    found = on_line(lambda x: x**2, -1, 2)
    assert (found["height"], found["width"], found["lowest"]) == (0, 0, 4)
    assert np.isnan(found["place"])


def test_a_double_well_has_its_own():
    """(x² - 1)² between its minima: 1 high at 0, above a half for x² < 1 - sqrt(1/2)."""
    found = on_line(lambda x: (x**2 - 1) ** 2, -1, 1)
    assert found["height"] == pytest.approx(1) and found["place"] == 0.5 and found["lowest"] == 1
    assert found["width"] == pytest.approx(np.sqrt(1 - np.sqrt(0.5)), abs=1e-4)


def test_a_tilted_double_well_is_measured_from_the_line_between_its_ends():
    """A slope added to the loss moves the worst point, and leaves the drop below the line as it was."""
    found = on_line(lambda x: (x**2 - 1) ** 2 + 3 + x, -1, 1)
    assert found["height"] == pytest.approx(1) and found["place"] == 0.5
    assert found["lowest"] == pytest.approx(max((x**2 - 1) ** 2 + 3 + x for x in np.linspace(-1, 1, 1001)))


def test_a_metric_falls_where_a_loss_rises():
    values = 80 - 60 * (1 - (2 * PLACES - 1) ** 2)
    found = barrier.barrier(PLACES, values)
    assert (found["height"], found["place"], found["lowest"]) == (60, 0.5, 20)
    assert found["width"] == pytest.approx(np.sqrt(0.5), abs=1e-3)
    assert barrier.barrier(PLACES, -values, "loss")["height"] == 60


def test_a_straight_line_of_floats_is_no_barrier():
    line = 0.1 + PLACES * (0.7 - 0.1)
    assert barrier.barrier(PLACES, line)["height"] == 0


values = st.lists(st.floats(0, 100), min_size=3, max_size=9)


@given(values)
def test_a_barrier_is_the_same_from_both_sides(drawn):
    places = np.linspace(0, 1, len(drawn))
    there, back = barrier.barrier(places, drawn), barrier.barrier(1 - places, drawn)
    for name in ("height", "width", "lowest"):
        assert there[name] == pytest.approx(back[name], abs=1e-9)
    assert 0 <= there["height"] <= 100 and 0 <= there["width"] <= 1


@given(values)
def test_places_beyond_the_ends_and_their_order_do_not_count(drawn):
    places = np.linspace(0, 1, len(drawn))
    order = np.random.default_rng(0).permutation(len(drawn) + 2)
    at = np.append(places, [-0.5, 1.5])[order]
    wider = np.append(drawn, [1000, -1000])[order]
    assert barrier.barrier(at, wider) == pytest.approx(barrier.barrier(places, drawn), nan_ok=True)


def test_an_unmeasured_point_leaves_the_barrier_unmeasured():
    assert all(np.isnan(v) for v in barrier.barrier([0, 0.5, 1], [1, np.nan, 1]).values())


def test_a_line_without_an_end_is_refused(refused):
    refused("alpha 0 and 1", barrier.barrier, [0.0, 0.5], [1, 2])


def test_places_are_even_with_both_ends():
    assert barrier.alphas(3).tolist() == [0, 0.5, 1]
    assert barrier.alphas(2, 2).tolist() == [-0.5, -0.25, 0, 1, 1.25, 1.5]
    assert len(barrier.alphas(50)) == 50


@pytest.mark.parametrize("wrong", [(1, 0), (5, -1)])
def test_too_few_places_are_refused(refused, wrong):
    refused("at least 2 points", barrier.alphas, *wrong)


def test_known_ends_are_not_measured_again():
    landscape = Landscape(lambda x: x)
    known = ({("test", "loss"): 5.0}, {("test", "loss"): 7.0})
    line = barrier.along(landscape, one(0), one(1), [0, 0.5, 1], ends=known)
    assert line.value.tolist() == [5, 0.5, 7] and landscape.seen == [0.5]


def test_barriers_of_a_table_line_by_line():
    line = pd.DataFrame({"seed": 0, "metric": "accuracy", "alpha": [0, 0.5, 1], "value": [80.0, 20, 60]})
    loss = line.assign(metric="loss", value=[1.0, 3, 1])
    other = line.assign(seed=1, value=[50.0, 50, 50])
    found = barrier.barriers(pd.concat([line, loss, other]))
    at = found.set_index(["seed", "metric", "quantity"]).value
    assert (at[0, "accuracy", "height"], at[0, "loss", "height"], at[1, "accuracy", "height"]) == (50, 2, 0)
    assert list(found.columns) == ["seed", "metric", "quantity", "value"]


# Arithmetic on weights


def two(network="fixup_small8", classes=(3, 3)):
    models = []
    for seed, count in enumerate(classes):
        torch.manual_seed(seed)
        models.append(build(network, count).state_dict())
    return models


@settings(deadline=None)
@given(st.floats(-0.5, 1.5))
def test_interpolation_is_the_formula_for_every_weight(alpha):
    first, second = two()
    for name, tensor in interpolate(first, second, alpha).items():
        wanted = (1 - alpha) * first[name].double() + alpha * second[name].double()
        assert torch.allclose(tensor.double(), wanted, atol=1e-6)


def test_the_ends_are_bit_for_bit_and_the_line_is_the_same_from_both_sides():
    first, second = two()
    for alpha, end in ((0, first), (1, second)):
        assert all(torch.equal(t, end[name]) for name, t in interpolate(first, second, alpha).items())
    there, back = interpolate(first, second, 0.25), interpolate(second, first, 0.75)
    assert all(torch.equal(there[name], back[name]) for name in there)


def test_the_average_of_two_is_the_middle():
    first, second = two()
    mixed, middle = average([first, second]), interpolate(first, second, 0.5)
    assert all(torch.allclose(mixed[name], middle[name], atol=1e-7) for name in mixed)
    assert norm({"a": torch.tensor([3.0]), "b": torch.tensor([[4.0]])}) == 5


def test_models_of_different_kinds_are_refused(refused):
    first, second = two(classes=(3, 4))
    refused("different classes: fc.weight", check_pair, first, second)
    wide = build("fixup_small24", 3).state_dict()
    refused("different architectures: conv1.weight", check_pair, first, wide)
    deep = build("fixup_resnet18", 3).state_dict()
    refused("architectures: only the second has layer1.1", check_pair, first, deep)
    diverged = dict(first) | {"layer1.0.scale": torch.tensor([float("nan")])}
    refused("second model diverged: layer1.0.scale", check_pair, first, diverged)
    refused("at least one model", average, [])


# Networks with batch norm


class Normalised(Network):
    """One convolution and a batch norm, as a torchvision network has them."""

    re_estimate = average_batch_norm

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))


def some_batches(count=3):
    torch.manual_seed(4)
    return [(torch.randn(8, 3, 6, 6), torch.randint(2, (8,))) for _ in range(count)]


def test_statistics_are_re_estimated_on_training_images_only(refused):
    refused("re-estimated on the split train", Evaluator, Normalised(), {"test": some_batches(1)})


def test_re_estimated_statistics_are_those_of_the_training_images():
    train = some_batches()
    evaluator = Evaluator(Normalised(), {"train": train, "test": some_batches(1)})
    first, second = Normalised().state_dict(), Normalised().state_dict()
    middle = interpolate(first, second, 0.5)
    model = evaluator.load(middle)
    with torch.no_grad():
        outputs = torch.stack([model.conv(images) for images, _ in train])
    assert torch.allclose(model.norm.running_mean, outputs.mean((0, 1, 3, 4)), atol=1e-6)
    variances = torch.stack([batch.var((0, 2, 3)) for batch in outputs]).mean(0)
    assert torch.allclose(model.norm.running_var, variances, atol=1e-6)
    assert not model.training and model.norm.momentum == 0.1
    line = barrier.along(evaluator, first, second, [0, 0.5, 1])
    assert np.isfinite(line.value).all() and set(line.split) == {"train", "test"}


def test_weights_of_another_network_are_refused(refused):
    evaluator = Evaluator(build("fixup_small8", 2), {"test": []})
    refused("not of the evaluated network", evaluator.load, build("fixup_resnet18", 2).state_dict())


def test_a_model_of_nans_is_refused_on_a_line():
    evaluator = Evaluator(build("fixup_small8", 3), {"test": []})
    first, _ = two()
    diverged = {name: tensor * float("nan") for name, tensor in first.items()}
    with pytest.raises(TlbookError, match="The first model diverged"):
        barrier.along(evaluator, diverged, first, [0, 1])
