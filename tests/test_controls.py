"""The controls' study: valid tables that agree with the runs behind them; verdicts that they do not touch."""

import dataclasses

import pandas as pd
import pytest
import torch
from images import class_folders
from made_up import tables as made_up_tables

from tlbook import data, models, questions, tables
from tlbook.book import records, results
from tlbook.evidence.statements import evaluate
from tlbook.questions import grid
from tlbook.questions.controls import study as controls
from tlbook.questions.feature_reuse import study as feature_reuse
from tlbook.questions.loss_landscape.study import pairs as landscape_lines
from tlbook.scales import CONTROLS, INITS
from tlbook.training import runs
from tlbook.training.loop import initial, stream

TARGETS = ("real", "xray")


@pytest.fixture(scope="module")
def scale(tiny):
    """`tiny` with controls on both seeds of real and one of xray, on 20 and all 40 images."""
    return tiny.replace(
        controls=dict(
            seeds={"real": 2, "xray": 1}, sizes=("*", 32), few_images=(20,), few_images_epochs=None,
            distance_images=16,
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def study(scale, own_folders):
    """The study, trained once for this module, and the histories of its runs."""
    with own_folders():
        found = results.run(questions.get("controls"), scale, TARGETS, (0, 1), workers=1, show=False)
        histories = {spec.id: runs.ensure(spec).history() for spec in controls.runs(scale, TARGETS, (0, 1))}
        yield found, histories


def test_tables_are_valid_all_there_and_read_back(study, tmp_path):
    found, _ = study
    assert set(found.tables) == set(questions.get("controls").tables)
    records.write("tiny", "controls", found.tables, found.provenance, tmp_path)
    for name, frame in records.load_all("tiny", "controls", tmp_path).items():
        assert len(frame) == len(found.tables[name])


def test_without_the_sources_images_ones_own_are_studied_and_the_scales_own_refused(
    scale, tmp_path, monkeypatch, refused
):
    """And refused before anything is trained."""
    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "runs"))
    nowhere = dataclasses.replace(scale.source, dataset="tiny-imagenet")
    away = scale.replace(source=nowhere, pretrained=str(own_weights(scale, tmp_path)))
    refused(
        "tiny-imagenet needs",
        results.run,
        questions.get("controls"),
        away,
        ("real",),
        (0,),
        workers=1,
        show=False,
    )
    assert runs.every() == []
    own = away.replace(datasets={"real": f"folder:{class_folders(tmp_path / 'mine', count=12)}"}, epochs=1)
    found = results.run(questions.get("controls"), own, ("real",), (0,), workers=1, show=False)
    assert set(found.tables) == set(questions.get("controls").tables) - {"domain_distance"}
    assert found.own_images == {"real": str(tmp_path / "mine")}
    assert not landscape_lines.has_other_source(own) and landscape_lines.has_other_source(scale)


def own_weights(scale, folder):
    path = folder / "p.safetensors"
    models.save(models.build(scale.network, 3).state_dict(), path)
    return path


def test_provenance_names_the_whole_set_of_a_target_that_was_capped_too(study, scale):
    images = study[0].provenance["images"]
    for role in TARGETS:
        whole = grid.ri_t(scale, role, "high", 0)
        assert images[role] == {"training": whole.digest, "dev and test": whole.evaluated}


def test_curves_are_the_runs_histories_at_one_rate_each(study, scale):
    found, histories = study
    curves = found.tables["control_curves"]
    assert set(curves.init) == {*INITS, *CONTROLS}
    assert (curves.groupby(["role", "init"]).rate.nunique() == 1).all()
    for (role, init, rate, seed), rows in curves.groupby(["role", "init", "rate", "seed"]):
        history = histories[grid.of_init(scale, init, role, rate, seed).id]
        wanted = history.sort_values(["epoch", "split", "metric"], ignore_index=True)
        pd.testing.assert_frame_equal(rows[history.columns].reset_index(drop=True), wanted)
    runs_of = curves.groupby(["role", "init"]).seed.nunique()
    assert runs_of["real"].to_dict() == dict.fromkeys((*INITS, *CONTROLS), 2)
    assert runs_of["xray"]["MeanVar-T"] == 1 and runs_of["xray"]["P-T"] == 2


def test_shuffled_controls_stand_beside_the_first_questions(study, scale):
    shuffled = study[0].tables["control_shuffle"]
    assert set(shuffled.block_size) == {"*", "32"}
    kinds = shuffled.groupby("init").block_size.unique()
    assert set(kinds.index) == {*INITS, *CONTROLS} and all(set(sizes) == {"*", "32"} for sizes in kinds)
    assert set(shuffled.columns) == set(questions.tables()["block_shuffle"].names)


def test_few_images_train_on_fewer_with_as_many_updates(study, scale):
    found, histories = study
    planned = {
        (keys["role"], keys["init"], keys["seed"], keys["images"]): spec
        for keys, spec in controls._few(scale, TARGETS, (0, 1))
    }
    whole, few = planned["real", "P-T", 0, 40], planned["real", "P-T", 0, 20]
    assert whole.id == grid.p_t(scale, "real", "low", 0).id  # shared with Figure 2
    assert (few.examples, few.epochs) == (20, 6)  # 3 epochs of 2 updates
    assert (few.evaluated, few.held_out) == (whole.evaluated, whole.held_out)
    assert few.steps == tuple(round(f * 6) for f in scale.tasks["real"].steps)
    assert len(few.train_measured) == len(whole.train_measured)
    assert (few.rate, few.batch, few.init) == (whole.rate, whole.batch, whole.init)
    table = found.tables["few_images"].set_index(["role", "init", "seed", "images", "split", "metric"]).value
    history = histories[few.id]
    end = history[history.epoch == 6].set_index(["split", "metric"]).value
    assert table["real", "P-T", 0, 20, "test", "accuracy"] == end["test", "accuracy"]
    times = found.tables["few_images_time"]
    seen = times[(times.images == 20) & (times.unit == "images")]
    assert set(seen["last"]) == {6 * 20}


def test_few_images_share_dev_and_test(scale):
    planned = [spec for keys, spec in controls._few(scale, ("real",), (0,)) if keys["init"] == "RI-T"]
    domains = [data.load(spec.images) for spec in planned]
    assert [len(domain.train) for domain in domains] == [20, 40]
    assert all(torch.equal(domains[0].test.images, domain.test.images) for domain in domains)
    assert domains[0].digest != domains[1].digest


def test_distances_are_of_ps_features(study, scale):
    table = study[0].tables["domain_distance"]
    kernel = table[(table.metric == "kernel") & (table.normalisation == "run")]
    assert set(kernel.role) == {"source", *TARGETS}
    real = kernel[(kernel.role == "real") & (kernel.block_size == "32")].set_index("images")
    assert list(real.index) == [4, 8, 16]  # and not 2, which has no distance
    shuffled = kernel[(kernel.role == "real") & (kernel.block_size == "*")]
    assert list(shuffled.images) == [16] and shuffled.value.item() != real.value.loc[16]
    assert (kernel.low < kernel.value).all() and (kernel.value < kernel.high).all()


def test_a_gain_is_the_difference_of_final_metrics(study):
    found = study[0].tables
    gain = found["gain"].set_index(["role", "figure", "block_size", "seed", "metric"]).value
    end = found["control_curves"].query("epoch == 3 and split == 'test'")
    end = end.set_index(["role", "init", "seed", "metric"]).value
    expected = end["real", "P-T", 1, "accuracy"] - end["real", "RI-T", 1, "accuracy"]
    assert gain["real", "2", "32", 1, "points"] == pytest.approx(expected)
    expected = 100 * (end["xray", "P-T", 0, "auc"] - end["xray", "RI-T", 0, "auc"])
    assert gain["xray", "2", "32", 0, "points"] == pytest.approx(expected)


def test_where_a_scale_has_no_controls_the_rest_is_there(scale, tmp_path):
    plain = scale.replace(controls={"seeds": {}})
    specs = controls.runs(plain, ("real",), (0,))
    assert {spec.id for spec in specs} == {spec.id for spec in feature_reuse.runs(plain, ("real",), (0,))}
    found = controls.tables(plain, ("real",), (0,), workers=1, show=False)
    assert set(questions.get("controls").tables) - set(found) == {"few_images", "few_images_time"}
    for name, frame in found.items():
        tables.check(questions.tables()[name], frame)
    assert set(found["control_curves"].init) == set(INITS)


def test_fewer_images_than_a_small_number_leave_it_out(scale):
    small = scale.replace(every_target={"train": 20})
    assert {keys["images"] for keys, _ in controls._few(small, ("real",), (0,))} == {20}


def test_other_block_sizes_leave_the_controls_those_that_they_have(scale):
    wider = scale.replace(shuffles={"sizes": ("*", 8, 16, 32)})
    sizes = {keys["block_size"] for keys, _ in controls._shuffled(wider, ("real",), (0,))}
    assert sizes == {"*", "32"}


@pytest.mark.parametrize("init", CONTROLS)
def test_a_redrawn_init_is_p_redrawn_with_a_fresh_head(init, scale):
    p = models.build(scale.network, 16).state_dict()
    spec = grid.of_init(scale.replace(pretrained="train"), init, "real", "high", 1)
    start = initial(spec, p).model.state_dict()
    expected = models.redrawn(p, spec.init.kind, stream("redraw", 1))
    for name, value in start.items():
        if not name.startswith("fc."):
            assert torch.equal(value, expected[name])
    ri_t = initial(grid.ri_t(scale, "real", "high", 1), None).model
    assert torch.equal(start["fc.weight"], ri_t.fc.weight)  # the same head for the same seed


def test_other_inits_change_no_verdict():
    """Statements read P-T and RI-T by name; better ones beside them must leave every one as it was."""
    plain = made_up_tables()
    before = evaluate(questions.get("feature_reuse").claims, plain)
    assert before.value.notna().all() and (before.verdict == "not tested").all()
    crowded = dict(plain)
    for name in ("learning_curves", "block_shuffle", "convergence"):
        frame = plain[name]
        ri_t = frame[frame.init == "RI-T"]
        extra = [ri_t.assign(init=init, value=0.9 * ri_t.value) for init in CONTROLS]
        crowded[name] = pd.concat([*extra, frame], ignore_index=True)
    crowded["control_curves"] = crowded["learning_curves"]
    pd.testing.assert_frame_equal(before, evaluate(questions.get("feature_reuse").claims, crowded))


def test_the_controls_have_no_claims():
    assert questions.get("controls").claims == ()
