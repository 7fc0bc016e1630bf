"""Scales: frozen values that cannot contradict themselves."""

import dataclasses
import itertools

import pytest

from tlbook import scales
from tlbook.models import networks

ALL = tuple(scales.SCALES.values())
of_every_scale = pytest.mark.parametrize("scale", ALL, ids=lambda scale: scale.name)


def test_unknown_names_are_refused_with_those_that_exist(refused):
    refused("choose from smoke, laptop, gpu, paper", scales.get, "big")
    refused("choose from source, real, clipart, quickdraw, xray", scales.get("smoke").task, "sketch")
    refused("no value 'epoch'; it has .*epochs.*shuffles", scales.get("smoke").replace, epoch=3)
    refused("choose from source, real", scales.get("smoke").replace, datasets={"sketch": "folder:/x"})


@pytest.mark.parametrize("epochs", [0, -1, 2.5, True, "3"])
def test_epochs_that_are_no_count_are_refused(epochs, refused):
    refused("epochs must be a whole number of at least 1", scales.get("smoke").replace, epochs=epochs)


@pytest.mark.parametrize("changes, said", [
    (dict(precision="fp64"), "A scale's precision must be one of fp32, bf16, not 'fp64'"),
    (dict(source_rate=float("nan")), "source_rate must be a positive number, not nan"),
    (dict(rates={"low": 0.1, "high": -1}), "rates must be a value by low and high, each a positive number"),
    (dict(rates={"low": 0.1}), "rates must be a value by low and high"),
    (dict(seeds=()), "seeds must be one or more of different values"),
    (dict(seeds=(3, 3)), "seeds must be one or more of different values"),
    (dict(seeds=(3, 3 + 2**32)), "each a whole number of at least 0 and at most 4294967295"),
    (dict(seeds=(True,)), "seeds must be"),
    (dict(main_rates={"P-T": "middle", "RI-T": "high"}), "main_rates .* one of low, high"),
    (dict(side=0), "side must be a whole number of at least 1"),
    (dict(shuffles={"sizes": ("*", 5, 32)}), "Block size 5 does not divide the side of 32"),
    (dict(shuffles={"sizes": ()}), "A shuffles's sizes must be one or more"),
    (dict(shuffles={"seeds": {"real": -1}}), "seeds must be a value by role, each a whole number of"),
    (dict(side=48), "Block size 32 does not divide"),
    (dict(similarity_images=-3), "similarity_images must be a whole number of at least 4"),
    (dict(every_target={"epochs": -5}), "A task's epochs must be a whole number of at least 1, not -5"),
    (dict(every_target={"mixup": float("nan")}), "mixup must be 0 or a positive number, not nan"),
    (dict(every_target={"metric": "f1"}), "metric must be one of accuracy, auc"),
    (dict(source={"batch": 0}), "batch must be a whole number of at least 1"),
    (dict(source={"steps": (0.3, 2)}), "steps must be any number of different values"),
    (dict(controls={"few_images": (0,)}), "few_images must be"),
    (dict(controls={"seeds": {"real": -1}}), "seeds must be a value by role"),
    (dict(landscape={"points": {"real": 1}}), "points must be a value by role"),
    (dict(landscape={"flat_distances": (0.1, float("inf"))}), "flat_distances"),
    (dict(criticality={"noise": ()}), "noise must be one or more"),
    (dict(checkpoints={"rates": ()}), "rates must be one or more"),
    (dict(checkpoints={"epochs": 0}), "epochs must be a whole number"),
    (dict(measured=(0, 1.5)), "measured must be"),
    (dict(pretrained=" "), "pretrained must be some text"),
])  # fmt: skip
def test_a_scale_that_could_not_be_studied_is_refused_where_it_is_made(changes, said, refused):
    refused(said, scales.get("smoke").replace, **changes)


def test_replace_sets_the_epochs_of_every_target_run_and_of_no_pretraining():
    paper = scales.get("paper")
    short = paper.replace(epochs=7)
    assert {task.epochs for task in short.tasks.values()} == {7}
    assert {task.random_epochs for task in short.tasks.values()} == {None}
    assert (short.shuffles.epochs, short.checkpoints.epochs) == (7, 7)
    assert short.source == paper.source
    assert paper.replace(epochs=7, shuffles={"epochs": 3}).shuffles.epochs == 3
    assert paper.tasks["xray"].random_epochs == 400


def test_replace_gives_another_value_and_leaves_the_first():
    smoke = scales.get("smoke")
    other = smoke.replace(datasets={"quickdraw": "folder:/somewhere"}, rates={"low": 7, "high": 8})
    assert other.datasets == smoke.datasets | {"quickdraw": "folder:/somewhere"}
    assert other.rates["low"] == 7 and smoke.rates["low"] < 1
    assert other != smoke and smoke.replace() == smoke
    assert smoke.replace(epochs=5).replace(epochs=6) == smoke.replace(epochs=6)


def test_a_scale_is_frozen_all_the_way_down():
    smoke = scales.get("smoke")
    with pytest.raises(dataclasses.FrozenInstanceError):
        smoke.side = 64
    with pytest.raises(dataclasses.FrozenInstanceError):
        smoke.tasks["real"].epochs = 1
    for mapping in (smoke.tasks, smoke.rates, smoke.second_rate_seeds, smoke.main_rates):
        with pytest.raises(TypeError):
            mapping["real"] = None


@of_every_scale
def test_measured_epochs_are_few_with_first_and_last(scale):
    for role, epochs in itertools.product(scale.targets, (1, 2, 5, 30, 40, 100, 200, 400)):
        measured, most = scale.measured_epochs(role, epochs), 24 if scale.task(role).measured else 10
        assert len(measured) <= most and measured[0] == 0 and measured[-1] == epochs
        assert list(measured) == sorted(set(measured))


def test_a_task_may_be_measured_at_other_epochs_than_its_scale():
    scale = scales.get("laptop").replace(tasks={"real": scales.get("laptop").tasks["real"]})
    assert scale.replace(every_target={"measured": (0, 0.5, 1)}).measured_epochs("real", 30) == (0, 15, 30)
    assert len(scales.get("laptop").measured_epochs("xray", 200)) == 24


def test_sizes_between_are_run_for_the_first_seeds_only():
    shuffles = scales.Shuffles(("*", 1, 4, 8, 32), epochs=1, seeds={}, between_seeds=2, second_rate=False)
    assert shuffles.sizes_of(1) == ("*", 1, 4, 8, 32) and shuffles.sizes_of(2) == ("*", 1, 32)
    one = dataclasses.replace(shuffles, sizes=("*",))
    assert one.sizes_of(0) == one.sizes_of(9) == ("*",)


@of_every_scale
def test_a_scale_agrees_with_itself(scale):
    assert set(scale.tasks) == set(scales.TARGETS)
    assert set(scale.checkpoints.starts) <= set(range(scale.source.epochs + 1))
    assert {0, scale.source.epochs} <= set(scale.checkpoints.starts)
    assert set(scale.shuffles.sizes) <= set(scales.valid_block_sizes(scale.side))
    assert scale.shuffles.sizes[0] == scales.PIXELS and scale.shuffles.sizes[-1] == scale.side
    assert scale.network in networks()
    assert set(scale.rates) == set(scales.RATES) and scale.rates["low"] < scale.rates["high"]
    assert set(scale.main_rates) == set(scales.INITS)
    assert set(scale.main_rates.values()) <= set(scales.RATES)
    for counts in (scale.shuffles.seeds, scale.second_rate_seeds, scale.landscape.same_init_seeds):
        assert set(counts) <= set(scale.tasks) and max(counts.values()) <= len(scale.seeds)
    assert set(scale.controls.sizes) <= set(scale.shuffles.sizes) and scale.controls.rate in scale.rates
    assert set(scale.controls.seeds) <= set(scale.tasks)
    assert max(scale.controls.seeds.values()) <= len(scale.seeds)
    fewest = min(task.train for task in scale.tasks.values())
    assert (
        len(scale.controls.few_images) >= 3 and max(scale.controls.few_images) < fewest
    )  # with all images, four sizes
    for task in (scale.source, *scale.tasks.values()):
        assert all(0 < step < 1 for step in task.steps) and list(task.steps) == sorted(task.steps)


@of_every_scale
def test_xray_has_the_protocol_of_chest_x_rays(scale):
    xray = scale.tasks["xray"]
    assert (xray.metric, xray.augmentation, xray.mixup, xray.steps) == ("auc", "affine", 0.0, ())
    assert all(scale.tasks[role].mixup == 0.7 for role in ("real", "clipart", "quickdraw"))


def test_paper_is_the_paper():
    """Read off the paper and the official code: rates at batch 256 over 8, Figure 7's checkpoints."""
    paper = scales.get("paper")
    assert paper.rates == pytest.approx({"low": 0.0025, "high": 0.0125})
    assert paper.tasks["xray"].rate_factor * paper.rates["high"] == pytest.approx(0.1)
    assert paper.checkpoints.starts == (0, 1, 2, 5, 10, 29, 30, 31, 59, 60, 61, 89, 90)
    assert [round(step * paper.source.epochs) for step in paper.source.steps] == [30, 60]
    assert [round(step * 100) for step in paper.tasks["real"].steps] == [30, 60, 90]
    assert paper.shuffles.sizes[1:] == (1, 2, 4, 7, 8, 14, 16, 28, 32, 56, 112, 224)


def test_block_sizes_are_the_divisors():
    assert scales.valid_block_sizes(12) == ("*", 1, 2, 3, 4, 6, 12)


def test_ones_own_images_are_named_and_tried_at_both_rates(refused):
    smoke = scales.get("smoke")
    own = smoke.replace(datasets={"real": "folder:/home/me/cats"})
    assert own.own_images == {"real": "/home/me/cats"} and smoke.own_images == {}
    assert own.second_rate_seeds["real"] == 3 and smoke.second_rate_seeds.get("real", 0) == 0
    assert own.second_rate_seeds["quickdraw"] == smoke.second_rate_seeds["quickdraw"]
    refused("reads none from /sets; write folder:/sets if", smoke.refuse_unread, "/sets")
    own.refuse_unread("/sets")
    scales.get("laptop").refuse_unread("/sets")


def test_ones_own_images_cannot_stand_for_the_source(refused):
    change = {"datasets": {"source": "folder:/home/me/cats"}}
    refused("can stand for a target, not for the source", scales.get("smoke").replace, **change)
