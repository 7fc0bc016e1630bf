"""Every benchmark runs, in its quickest mode, and prints its table; what a ratio is made of."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent.parent / "benchmarks"


def printed(monkeypatch, capsys, script, *words):
    monkeypatch.setattr(sys, "argv", [script, *words])
    monkeypatch.syspath_prepend(str(FOLDER))
    threads = torch.get_num_threads()
    runpy.run_path(str(FOLDER / script), run_name="__main__")
    torch.set_num_threads(threads)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "words", "rows"),
    [
        ("criticality.py", ["--network", "fixup_small8"], ["conv1", "layer3.0", "fc", "all of Figure 5"]),
        ("interpolation.py", ["--scale", "smoke"], ["files", "ours", "stacked"]),
        ("input.py", ["--only", "input"], ["input, 32 px"]),
        ("input.py", ["--only", "training"], ["training, 32 px", "training, 64 px"]),
        ("input.py", ["--only", "decoding", "--rate", "1000"], ["decoding, 1 process"]),
        ("engine.py", ["--scale", "smoke"], ["eager, 2 side by side"]),
        ("similarity.py", ["--without", "pytorch-cka", "torch_cka"], ["ours"]),
    ],
)
def test_a_benchmark_runs(monkeypatch, capsys, script, words, rows):
    lines = printed(monkeypatch, capsys, script, "--quick", *words).splitlines()
    for row in rows:
        assert any(line.startswith(row) and " times (" in line for line in lines), row


def test_the_two_ways_of_question_4_agree(monkeypatch, capsys):
    lines = printed(
        monkeypatch, capsys, "criticality.py", "--quick", "--network", "fixup_small8"
    ).splitlines()
    differences = [float(line.split(" times")[0].split()[-3]) for line in lines if " times (" in line]
    assert len(differences) == 7 and max(differences) < 1e-4


def test_a_ratio_is_the_median_of_ratios_within_a_round(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from pairs import faster, in_turns

    assert faster([1, 2, 4], [3, 5, 4]) == "2.50 times (1.00 to 3.00)"  # of medians it were 2
    called = []
    seconds = in_turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 2)
    assert called == ["a", "b", "a", "b"] and {len(each) for each in seconds.values()} == {2}
