"""What all tests share: runs, caches and data folders of their own, and a scale of a second or two."""

import os
import sys
from collections import Counter
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, settings

from tlbook import scales

# `make test` tries a share of each promise's cases, `make test-deep` all of them (book/promises.md).
DEEP = os.environ.get("TLBOOK_TESTS") == "deep"
RARE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("share", deadline=None, derandomize=True, suppress_health_check=RARE)
settings.register_profile("deep", deadline=None, max_examples=1200, suppress_health_check=RARE)
settings.load_profile("deep" if DEEP else "share")


def pytest_terminal_summary(terminalreporter):
    """What the tests of promises have tried, added up: cases, refusals, kills."""
    counts = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "teardown":
                counts.update({name: n for name, n in report.user_properties if isinstance(n, int)})
    for name, count in sorted(counts.items()):
        terminalreporter.write_line(f"tried: {count:,} {name}")


@pytest.fixture(autouse=True)
def _isolated(tmp_path, monkeypatch):
    """No test sees or leaves runs, decoded images or data sets outside its own folder.

    Training flushes denormal numbers in the whole process, which hypothesis refuses to draw floats under.
    """
    import torch  # here, since a test reads pages in a process without it

    torch.set_flush_denormal(False)
    monkeypatch.setenv("TLBOOK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TLBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TLBOOK_DATA", raising=False)
    monkeypatch.setenv("TLBOOK_DEVICE", "cpu")


@pytest.fixture(scope="session")
def own_folders(tmp_path_factory):
    """Runs and caches in a folder apart, for what several tests share: ``with own_folders() as folder``."""

    @contextmanager
    def own_folders():
        folder = tmp_path_factory.mktemp("study")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TLBOOK_RUNS", str(folder / "runs"))
            patch.setenv("TLBOOK_CACHE", str(folder / "cache"))
            patch.setenv("TLBOOK_DEVICE", "cpu")
            yield folder

    return own_folders


@pytest.fixture(scope="session")
def tiny() -> scales.Scale:
    """`smoke` with a few images and epochs."""
    smoke = scales.get("smoke")
    return smoke.replace(
        name="tiny",
        source={"train": 60, "test": 40, "epochs": 2},
        every_target={"train": 40, "dev": 20, "test": 40, "epochs": 3},
        shuffles={"sizes": ("*", 16, 32), "epochs": 2},
        checkpoints={"starts": (0, 1, 2), "epochs": 2, "constant_starts": (1, 2)},
        constant_epochs=2,
        seeds=(0, 1),
    )


def one_sentence(error: pytest.ExceptionInfo | str) -> bool:
    """Is a refusal one sentence (dots inside names and numbers aside)?"""
    text = error if isinstance(error, str) else str(error.value)
    return text.endswith(".") and ". " not in text and "\n" not in text


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `tlbook` with some words in this process; its exit code, output and errors."""

    def run(*words):
        from tlbook import cli

        monkeypatch.setattr(sys, "argv", ["tlbook", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


@pytest.fixture
def refused():
    """Hold a call to its refusal: one sentence that matches."""

    def refused(match, call, *args, **how):
        from tlbook.errors import TlbookError

        with pytest.raises(TlbookError, match=match) as error:
            call(*args, **how)
        assert one_sentence(error), str(error.value)

    return refused
