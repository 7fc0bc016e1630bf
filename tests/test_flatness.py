"""Random steps, rescaled twins, the paper's basin and soups, against cases worked out by hand."""

import numpy as np
import pytest
import torch
from networks import filled, images
from scipy import stats
from torch.nn import functional as F

from tlbook import metrics
from tlbook.models import build
from tlbook.models.fixup import NETWORKS
from tlbook.models.interpolation import norm
from tlbook.questions.loss_landscape.method import flatness, soups
from tlbook.questions.loss_landscape.method.basin import basin
from tlbook.questions.loss_landscape.method.evaluation import Evaluator

SMALL = "fixup_small8"


def steps(state, normalisation, seed=0):
    return flatness.direction(state, normalisation, torch.Generator().manual_seed(seed))


def test_a_raw_step_is_as_long_as_the_weights():
    state = filled(SMALL).state_dict()
    step = steps(state, "raw")
    assert norm(step) == pytest.approx(norm(state)) and step.keys() == state.keys()


def test_a_filter_step_is_as_long_as_each_filter_and_leaves_biases_and_scales():
    state = filled(SMALL).state_dict()
    step = steps(state, "filter")
    assert set(step) == {name for name, tensor in state.items() if tensor.ndim > 1}
    for name, moved in step.items():
        assert torch.allclose(moved.flatten(1).norm(dim=1), state[name].flatten(1).norm(dim=1))
    assert torch.equal(torch.sign(step["fc.weight"]), torch.sign(steps(state, "raw")["fc.weight"]))


def test_a_step_does_not_depend_on_the_order_in_which_weights_were_read():
    """safetensors gives the tensors of a file in another order in every process."""
    state = filled(SMALL).state_dict()
    turned = dict(reversed(state.items()))
    for normalisation in flatness.NORMALISATIONS:
        one, other = steps(state, normalisation), steps(turned, normalisation)
        assert all(torch.equal(one[name], other[name]) for name in one)
    losses = []
    for order in (state, turned):
        seen = []
        basin(lambda s: seen.append(s["fc.weight"]) or 0.0, order, order, 1.0, on_line=[0, 0])  # noqa: B023
        losses.append(seen[0])
    assert torch.equal(*losses)


def test_a_filter_of_zeros_stays():
    state = build(SMALL, 3).state_dict()
    assert (steps(state, "filter")["layer1.0.conv2.weight"] == 0).all()  # Fixup starts there


def test_an_unknown_normalisation_is_refused(refused):
    refused("'layer' of steps; choose from raw, filter", steps, {"a": torch.ones(1, 1)}, "layer")


# Rescaled twins


@pytest.mark.parametrize("network", [SMALL, "fixup_resnet18", "fixup_resnet50_small"])
def test_a_twin_computes_the_same_with_other_weights(network):
    model = filled(network)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    twin = flatness.rescaled_twin(state, network, 4.0)
    with torch.no_grad():
        before = model(images(1))
        model.load_state_dict(twin)
        assert torch.allclose(model(images(1)), before, rtol=1e-9)
    changed = [name for name in state if not torch.equal(twin[name], state[name])]
    assert len(changed) == 4 * sum(NETWORKS[network].blocks)


def test_a_twins_factor_is_positive(refused):
    state = build(SMALL, 2).state_dict()
    refused("above 0, not -1", flatness.rescaled_twin, state, SMALL, -1)


def labelled(model, count=48):
    with torch.no_grad():
        pictures = images(count)
        return [(pictures, model(pictures).argmax(1))]


def test_a_twin_is_as_flat_by_filter_and_not_raw():
    """Scaled by 4 it scores the same relative to its filters, and sharper in raw steps."""
    model = filled(SMALL)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluator = Evaluator(build(SMALL, 3).double(), {"train": labelled(model)})
    found = [
        flatness.flatness(evaluator, one, [0.1], directions=3)
        for one in (state, flatness.rescaled_twin(state, SMALL, 4.0))
    ]
    loss = [one[one.metric == "loss"].set_index(["normalisation", "distance"]).value for one in found]
    assert loss[1]["filter", 0.1] == pytest.approx(loss[0]["filter", 0.1], rel=1e-6)
    assert loss[1]["raw", 0.0] == pytest.approx(loss[0]["raw", 0.0], rel=1e-6)
    assert loss[1]["raw", 0.1] != pytest.approx(loss[0]["raw", 0.1], rel=0.05)


class Bowl:
    """Loss |w|² in an evaluator's place."""

    def measure(self, state, splits=()):
        return {("train", "loss"): sum(float(t.double().square().sum()) for t in state.values())}


def test_a_bowl_rises_by_the_square_of_the_distance():
    """|w + t |w| u|² = |w|² (1 + t² + 2 t cos), and the cosine of random directions averages out."""
    state = {"a": torch.randn(300, 300, generator=torch.Generator().manual_seed(1))}
    found = flatness.flatness(Bowl(), state, [0.5], directions=4)
    at = found.set_index(["normalisation", "distance"]).value
    base = norm(state) ** 2
    assert at["raw", 0.0] == pytest.approx(base)
    assert at["raw", 0.5] == pytest.approx(1.25 * base, rel=0.02)
    assert at["filter", 0.5] == pytest.approx(1.25 * base, rel=0.02)
    with pytest.raises(ValueError):
        flatness.flatness(Bowl(), state, [0.5], directions=0)


def test_steps_around_are_as_long_as_parts_of_the_line():
    generator = torch.Generator().manual_seed(1)
    first = {"a": torch.randn(200, 200, generator=generator)}
    second = {"a": first["a"] + 3}  # 600 apart
    found = flatness.around(Bowl(), first, second, [0.5], directions=4)
    at = found.set_index(["direction", "end", "fraction"]).value
    assert at["random", "first", 0.5] == pytest.approx(norm(first) ** 2 + 300**2, rel=0.02)
    assert at["random", "second", 0.5] == pytest.approx(norm(second) ** 2 + 300**2, rel=0.02)
    assert at["line", "first", 0.5] == pytest.approx(norm({"a": first["a"] - 1.5}) ** 2, rel=1e-5)
    assert at["line", "second", 0.5] == pytest.approx(norm({"a": second["a"] + 1.5}) ** 2, rel=1e-5)


# The paper's basin


def loss_of(function):
    return lambda state: float(function(state["x"].double()))


def ends(*values):
    return [{"x": torch.tensor(value, dtype=torch.float64)} for value in values]


def test_a_trough_with_steep_walls_is_a_basin():
    """Flat along the segment from -1 to 1, rising by x² and |x - end| outside: all three by hand."""

    def trough(x):
        return (x[0].abs() - 1).clamp_min(0) + (x[1:] ** 2).sum()

    n = 400
    first, second = ends([-1.0] + [0.0] * (n - 1), [1.0] + [0.0] * (n - 1))
    found = basin(loss_of(trough), first, second, delta=0.5, draws=16)
    assert (found["mean"], found["spread"], found["epsilon_low"]) == (0, 0, 0)
    # noise: delta² (n - 1)/n from the other axes, and the half of the first axis' draws that lead outwards
    outwards = 0.5 * np.sqrt(2 / np.pi) * 0.5 / np.sqrt(n)
    assert found["noise_rise"] == pytest.approx(0.25 + outwards, rel=0.1)
    # beyond: E |N(0, delta²)| = delta sqrt(2/pi)
    assert found["beyond_rise"] == pytest.approx(0.5 * np.sqrt(2 / np.pi), rel=0.05)
    assert found["epsilon_high"] == pytest.approx(min(found["noise_rise"], found["beyond_rise"]) / 2)


def test_two_wells_are_no_basin():
    first, second = ends([-1.0], [1.0])
    found = basin(loss_of(lambda x: (x**2 - 1).square().sum()), first, second, delta=0.1, draws=8)
    assert found["mean"] == pytest.approx(8 / 15, abs=0.01)  # the mean of (x² - 1)² over -1 … 1
    assert found["epsilon_low"] > 0 > found["epsilon_high"]


def test_quantiles_stand_for_half_a_normal_law():
    """The loss |x - 1| past the end: the mean over 64 quantiles of |N(0, 1)|."""
    first, second = ends([0.0], [1.0])
    rise = basin(loss_of(lambda x: (x - 0.5).abs().sum() - 0.5), first, second, 1.0, draws=64)
    wanted = stats.halfnorm.ppf((np.arange(64) + 0.5) / 64).mean()
    assert rise["beyond_rise"] + rise["mean"] == pytest.approx(wanted, rel=1e-6)


def test_known_losses_on_the_segment_are_used():
    first, second = ends([0.0], [1.0])
    found = basin(loss_of(lambda x: x.sum() * 0), first, second, 0.1, on_line=[0, 1, 0])
    assert (found["mean"], found["spread"]) == (0.5, 0.5)  # trapezoids: weights 1/4, 1/2, 1/4


def test_equal_models_span_no_segment():
    first, second = ends([1.0], [1.0])
    assert np.isnan(basin(loss_of(lambda x: x.sum()), first, second, 0.1)["beyond_rise"])


# Soups


def test_a_soup_of_copies_is_the_model_and_an_ensemble_averages_probabilities():
    first, second = filled(SMALL, 0), filled(SMALL, 1)
    pictures = images(40)
    with torch.no_grad():
        logits = [model(pictures) for model in (first, second)]
    labels = logits[0].argmax(1)
    splits = {"dev": [(pictures, labels)], "test": [(pictures, labels)]}
    evaluator = Evaluator(build(SMALL, 3).double(), splits)
    states = [{name: t.clone() for name, t in model.state_dict().items()} for model in (first, second)]
    same = soups.soup(evaluator, [states[0]] * 3, "accuracy")
    accuracy = same[same.metric == "accuracy"].set_index("kind").value
    assert accuracy.to_dict() == dict.fromkeys(soups.KINDS, 100.0)
    mixed = soups.soup(evaluator, states, "accuracy").set_index(["kind", "metric"]).value
    chances = np.mean([F.softmax(one, 1).numpy() for one in logits], axis=0)
    wanted = -np.log(chances[np.arange(40), labels.numpy()]).mean()
    assert mixed["ensemble", "loss"] == pytest.approx(wanted, rel=1e-5)
    own = [metrics.accuracy(one, labels) for one in logits]
    assert mixed["members", "accuracy"] == pytest.approx(np.mean(own))
    assert mixed["best", "accuracy"] == 100 > own[1]


def test_an_ensemble_of_several_labels_averages_sigmoids():
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 3)
    found = soups._mean_probability(list(logits), True).sigmoid()
    assert torch.allclose(found, logits.double().sigmoid().mean(0), atol=1e-9)


def test_a_soup_of_one_is_refused(refused):
    refused("at least two models, not 1", soups.soup, None, [{}], "accuracy")
