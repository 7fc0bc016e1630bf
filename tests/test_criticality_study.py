"""Question 4's study: tables as `tlbook.tables` says, from the runs of Figure 2 and their checkpoints."""

import numpy as np
import pandas as pd
import pytest

from tlbook import questions, scales, tables
from tlbook.book import results
from tlbook.evidence import claims
from tlbook.questions import grid, plan
from tlbook.questions.criticality import study as criticality
from tlbook.questions.feature_reuse import study as feature_reuse
from tlbook.training import runs

TARGETS = ("quickdraw", "xray")
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def study(tiny, own_folders):
    """The tiny study, trained once for this module: its results, its runs' histories, its folder of runs."""
    with own_folders() as folder:
        found = results.run(questions.get("criticality"), tiny, TARGETS, SEEDS, workers=1, show=False)
        histories = {s.id: runs.ensure(s).history() for s in criticality.runs(tiny, TARGETS, SEEDS)}
    return found, histories, folder


@pytest.fixture
def here(study, monkeypatch):
    """The study's runs, for a test that opens one."""
    monkeypatch.setenv("TLBOOK_RUNS", str(study[2] / "runs"))
    monkeypatch.setenv("TLBOOK_CACHE", str(study[2] / "cache"))


def test_tables_are_valid_and_all_there(study):
    assert set(study[0].tables) == set(questions.get("criticality").tables)
    for name, frame in study[0].tables.items():
        assert len(tables.check(questions.tables()[name], frame))


def test_nothing_is_trained_but_the_runs_of_figure_2(tiny):
    own = {spec.id for spec in criticality.runs(tiny, TARGETS, SEEDS)}
    assert own < {spec.id for spec in feature_reuse.runs(tiny, TARGETS, SEEDS)}
    smoke = scales.get("smoke")
    counted = plan.plan(
        smoke, scales.TARGETS, smoke.seeds, [questions.get(q) for q in ("feature_reuse", "criticality")]
    )
    assert counted.set_index("question").loc["criticality", ["runs", "passes"]].tolist() == [0, 0]


def test_the_network_itself_measures_what_its_run_did(study, tiny):
    found, histories, _ = study
    rewind = found.tables["rewind"]
    for (role, init, rate, seed), rows in rewind[rewind.module == "none"].groupby(
        ["role", "init", "rate", "seed"]
    ):
        history = histories[grid.of_init(tiny, init, role, rate, seed).id]
        end = history[history.epoch == 3].set_index(["split", "metric"]).value
        own = rows.set_index(["split", "metric"]).value
        assert own.to_numpy() == pytest.approx(end[own.index].to_numpy(), rel=1e-4)


def test_rewinding_has_every_module_stage_and_way_back(study, tiny):
    rewind = study[0].tables["rewind"]
    test = rewind[(rewind.split == "test") & (rewind.role == "xray") & (rewind.metric == "auc")]
    modules = {"conv1", *(f"layer{i}" for i in (1, 2, 3, 4)), *(f"layer{i}.0" for i in (1, 2, 3, 4)), "fc"}
    for (_, _, seed), own in test.groupby(["init", "rate", "seed"]):
        back = own[(own.method == "rewind") & (own.module != "none")]
        assert set(back.module) == modules and set(back.to_epoch) == ({0, 2} if seed == 0 else {0})
        assert set(own[own.method == "redraw"].module) == (modules if seed == 0 else set())
    assert set(rewind[rewind.split == "train"].module) == {"none"}


def test_paths_begin_and_end_where_the_module_does(study):
    """The noiseless ends of conv1's direct path, on all images here: rewound, and as trained."""
    found = study[0].tables
    keys = ["role", "init", "rate", "seed"]
    direct = found["paths"].query("path == 'direct' and noise == 0 and split == 'test'")
    rewind = found["rewind"].query("split == 'test' and method == 'rewind' and to_epoch == 0")
    ends = (("conv1", 0, "conv1"), ("layer3.0", 0, "layer3.0"), ("conv1", 1, "none"))
    for module, fraction, same_as in ends:
        rows = direct[(direct.fraction == fraction) & (direct.module == module)]
        both = rows.merge(rewind[rewind.module == same_as], on=[*keys, "metric"])
        assert len(both) == 2 * 4  # two roles, two inits, the first seed: the role's metric and loss
        assert both.value_x.to_numpy() == pytest.approx(both.value_y.to_numpy(), rel=1e-4)


def test_paths_are_as_wide_as_the_scale_says(study, tiny):
    paths = study[0].tables["paths"]
    assert set(zip(paths.init, paths.rate, strict=True)) == {("P-T", "low"), ("RI-T", "high")}
    own = paths.query("role == 'xray' and init == 'P-T' and metric == 'auc' and split == 'train'")
    assert set(own[own.seed == 1].module) == {"conv1"} and len(set(own[own.seed == 0].module)) == 6
    conv1 = own[(own.module == "conv1") & (own.path == "direct") & (own.seed == 1)]
    sizes = conv1.groupby("fraction").noise.agg(lambda noise: sorted(set(noise.abs())))
    assert sizes.to_dict() == {0.0: [0, 0.25], 0.5: [0, 0.25], 1.0: [0, 0.125, 0.25, 0.5]}
    assert conv1.distance.to_numpy() == pytest.approx(conv1.fraction * conv1.distance.max(), rel=1e-4)
    through = own[(own.module == "conv1") & (own.path == "optimisation")]
    assert set(through.fraction.round(4)) == {0, 0.6667, 1}  # epochs 0, 2 and 3 of 3


def test_criticality_is_of_the_first_seeds_and_adds_up(study, tiny):
    table = study[0].tables["criticality"]
    assert set(table.seed) == {0} and set(table.images) == {40} and set(table.draws) == {1}
    moved = table[table.value > 0]
    assert (moved.noise > 0).all() and (moved.lowest <= moved.value).all()
    network = study[0].tables["network_criticality"]
    keys = ["role", "init", "rate", "seed", "path", "norm"]
    for key, rows in table.groupby(keys):
        (value,) = network.set_index(keys).loc[[key], "value"]
        assert value == pytest.approx(rows.value.sum())


def test_the_claims_can_be_read_from_the_tables(study, tiny):
    """With question 1's tables beside them; parts about RI-T at the low rate on xray are not run here, and of
    networks that hardly learn noise takes nothing away."""
    found, histories, _ = study
    which = claims.of_question("criticality")
    curves = pd.concat(
        histories[grid.of_init(tiny, init, "xray", rate, seed).id].assign(
            role="xray", init=init, rate=rate, seed=seed
        )
        for init, rate in (("P-T", "low"), ("RI-T", "high"))
        for seed in SEEDS
    )
    rows = claims.evaluate(found.tables | {"learning_curves": curves}, judged=True, which=which)
    missing = rows[rows.value.isna() & ~rows.statistic.str.contains(r"RI-T \(low\)")]
    missing = missing[~missing.note.str.contains("RI-T bears the largest noise tried")]
    assert missing.empty, missing[["statistic", "note"]].to_string()
    assert set(rows.verdict) <= {"not tested at this scale", "not recorded"}


def test_an_epoch_that_is_not_kept_says_what_to_do(here, tiny, refused):
    spec = grid.p_t(tiny, "xray", "low", 0)
    match = f"Run {spec.id} .*no weights of epoch 7, only of 0, 1, 2, 3; choose one.*retrain=True"
    refused(match, criticality.open_run, spec, (0, 7))
    assert sorted(criticality.open_run(spec, (1,)).checkpoints) == [1, 3]


def test_a_run_that_is_not_trained_says_how_to_train_it(tiny, refused):
    spec = grid.ri_t(tiny, "xray", "high", 5)
    refused(f"Run {spec.id} .*is not trained yet; tlbook.training.runs.ensure", criticality.open_run, spec)


def test_a_twin_computes_the_same_and_only_the_relative_criticality_knows_it(here, tiny, refused):
    table = criticality.rescaled_twin(tiny, "quickdraw", "RI-T", 0, "layer1.0").set_index("network")
    assert table.logits_differ["rescaled"] < 1e-3
    assert table.relative["rescaled"] == pytest.approx(table.relative["as trained"], rel=1e-3, nan_ok=True)
    wrong = (tiny, "quickdraw", "RI-T", 0, "layer9.0")
    refused("no block 'layer9.0'; it has layer1.0", criticality.rescaled_twin, *wrong)


def test_spread_takes_the_ends_and_what_lies_between():
    assert criticality.spread([0, 1, 2, 4, 8], 3) == [0, 2, 8]
    assert criticality.spread([4, 0], 9) == [0, 4] and criticality.spread([0, 1, 2], 1) == [0]


def test_redraws_are_no_runs_own_init(here, tiny):
    run = criticality.open_run(grid.ri_t(tiny, "xray", "high", 0))
    first, second = (criticality.redrawn(run, number) for number in (0, 1))
    start = run.checkpoints[0]
    assert not np.allclose(first["conv1.weight"], second["conv1.weight"])
    assert not np.allclose(first["conv1.weight"], start["conv1.weight"])
    assert first.keys() == start.keys()
