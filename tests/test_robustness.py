"""Summaries of question 4's tables, by hand."""

import numpy as np
import pandas as pd
import pytest
from made_up_criticality import LOST, MODULES, criticality, every_table, rewind

from tlbook import vocabulary
from tlbook.evidence import paper
from tlbook.questions.criticality import summaries
from tlbook.questions.criticality.method.criticality import network_criticality


def test_modules_and_stages_sort_from_input_to_output():
    names = ["none", "fc", "layer2", "layer10.0", "layer1.11", "layer1.2", "conv1", "layer1"]
    assert vocabulary.modules(names) == ["conv1", "layer1.2", "layer1.11", "layer10.0", "fc"]
    assert vocabulary.stages(names) == ["layer1", "layer2"]
    whole = ["conv1", "layer1", "layer1.2", "layer1.11", "layer2", "layer10.0", "fc", "none"]
    assert vocabulary.by_depth([*names, "fc"]) == whole


def test_losses_are_the_networks_own_metric_minus_the_changed_ones():
    found = summaries.losses(rewind(("real", "xray")))
    own = found.query("init == 'P-T' and rate == 'low' and seed == 1 and to_epoch == 0")
    own = own[own.method == "rewind"]
    real = own[own.role == "real"].set_index("module").lost
    assert real[list(MODULES)].to_dict() == pytest.approx(LOST)
    chest = own[own.role == "xray"].set_index("module").lost
    assert chest["fc"] == pytest.approx(0.3) and chest["layer4"] == pytest.approx(0.08)
    assert "none" not in set(found.module) and set(found.split) == {"test"}


def test_compared_has_the_papers_losses_beside_ours_on_xray_only():
    found = summaries.compared(rewind(("xray", "real")), paper.figure5())
    found = found.set_index(["role", "init", "rate", "module"])
    ours = found.loc[("real", "RI-T", "high", "conv1")]
    assert ours[["n", "lost", "lowest", "highest", "redrawn"]].tolist() == pytest.approx([3, 8, 7, 9, 50])
    assert np.isnan(ours.paper)
    theirs = paper.value("figure5", init="RI-T", rate="high", module="none") - paper.value(
        "figure5", init="RI-T", rate="high", module="conv1"
    )
    assert found.loc[("xray", "RI-T", "high", "conv1"), "paper"] == pytest.approx(theirs)
    assert list(dict.fromkeys(found.index.get_level_values("role"))) == ["real", "xray"]


def test_a_networks_criticality_is_the_sum_over_its_modules():
    found = every_table(("real",))["network_criticality"]
    table = found.set_index(["init", "rate", "seed", "path", "norm"])
    assert table.loc[("P-T", "low", 1, "direct", "raw"), "value"] == 2 * 1160
    assert table.loc[("RI-T", "low", 0, "direct", "relative"), "value"] == 20 * 1160
    assert table.loc[("P-T", "low", 2, "direct", "raw"), "gap"] == pytest.approx(95 + 2 - 80)


def test_a_module_without_criticality_leaves_its_network_without():
    table = criticality(("real",))
    table.loc[(table.seed == 1) & (table.module == "fc"), "value"] = np.nan
    found = network_criticality(table, rewind(("real",)))
    assert set(found.seed[found.value.isna()]) == {1} and found.value.notna().any()


def test_ranking_by_hand():
    """Gap and criticality grow with the seed within each kind of run."""
    network = every_table(("real",))["network_criticality"]
    found = summaries.ranks_gap(network).set_index(["norm", "runs"])
    low = network[network.rate == "low"]
    within = summaries.ranks_gap(low).set_index(["norm", "runs"])
    assert within.loc[("raw", "P-T"), ["n", "spearman"]].tolist() == [3, 1.0]
    assert found.loc[("raw", "all"), "n"] == 12 and 0 < found.loc[("raw", "all"), "spearman"] < 1


def test_a_ranking_of_two_runs_or_of_equals_says_nothing():
    runs = pd.DataFrame({"value": [1.0, 2.0], "gap": [1.0, 2.0]})
    assert np.isnan(summaries.rank(runs))
    assert np.isnan(summaries.rank(pd.DataFrame({"value": [1.0] * 4, "gap": [1.0, 2, 3, 4]})))
