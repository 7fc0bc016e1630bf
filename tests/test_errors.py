"""One door for errors, and settings that mean the same in every folder."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import one_sentence
from images import class_folders
from processes import ROOT, interrupted

from tlbook import errors, settings
from tlbook.data import decode
from tlbook.errors import TlbookError, at, door, sentence
from tlbook.training import runs

LONG = "/there/" + "x" * 5000

CASES = {
    "/a/b: the disk is full.": OSError(errno.ENOSPC, "No space left on device", "/a/b"),
    "/a: it can only be read, not written.": OSError(errno.EROFS, "Read-only file system", "/a"),
    "/a/loop.png: it is a link that leads to itself.": OSError(errno.ELOOP, "Too many levels", "/a/loop.png"),
    "/a and /b: there is no permission": OSError(errno.EACCES, "Permission denied", "/a", None, "/b"),
    "the name is too long.": OSError(errno.ENAMETOOLONG, "File name too long", LONG),
    "so the disk may be full (55296 requested and 32640 written).": OSError(
        "55296 requested and 32640 written"
    ),
    r"a\nb: the disk": OSError(errno.ENOSPC, "", "a\nb"),
    r"\udcff: the disk": OSError(errno.ENOSPC, "", b"\xff"),
    "a file or connection: refused; twice.": ConnectionError("refused.\n twice."),
    "a file or connection: TimeoutError.": TimeoutError(),
    "a file or connection: the disk is full.": OSError(errno.ENOSPC, "No space left on device", 3),
    "as it is.": TlbookError("as it is."),
    "memory": MemoryError(),
}


@pytest.mark.parametrize("said", CASES)
def test_an_error_is_one_sentence_that_names_place_and_cause(said):
    text = sentence(CASES[said])
    assert said in text and one_sentence(text) and len(text) < 400
    text.encode()


def test_a_write_that_does_not_say_where_it_failed_is_given_its_place(tmp_path):
    for raised in (OSError("9 requested and 3 written"), OSError(errno.ENOSPC, "No space left on device")):
        with pytest.raises(OSError) as error, decode.whole(tmp_path / "file.npy"):
            raise raised
        assert f"{tmp_path / 'file.npy'}: " in sentence(error.value) and "full" in sentence(error.value)
    with pytest.raises(OSError) as error, at("/elsewhere"):
        raise OSError(errno.ENOSPC, "No space left on device", "/here")
    assert error.value.filename == "/here"


def test_the_door_says_it_and_gives_the_code(capsys):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal, also in the background
    for raised, code in (
        (TlbookError("So it is."), 2),
        (OSError(28, "", "/a"), 2),
        (KeyboardInterrupt(), 130),
    ):
        with pytest.raises(SystemExit) as end, door("tlbook: "):
            raise raised
        assert end.value.code == code
    assert capsys.readouterr().err == "tlbook: So it is.\ntlbook: /a: the disk is full.\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


IN_A_NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("from tlbook.book import pages; given = pages.begin({})")
shell.run_cell("def f(): open('/dev/null/x')\\nf()")
assert not shell.run_cell("raise OSError(28, 'No space left on device', '/a')").success
shell.run_cell("1 / 0")
"""


def test_a_notebook_shows_the_same_sentence_and_no_traceback():
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", IN_A_NOTEBOOK], env=env, capture_output=True, text=True)
    first, second, rest = done.stdout.split("\n", 2)
    assert first == "TlbookError: /dev/null/x: a part of the path is a file, not a folder.", done
    assert second == "TlbookError: /a: the disk is full."
    assert "ZeroDivisionError" in rest and "Traceback" in rest


# Ctrl-C


def partial():
    return [*runs.root().glob("*.partial/checkpoints/*")]


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_training_at_once(tmp_path, workers):
    """And no other run is begun by a worker that has ended one."""
    words = ("reproduce", "--scale", "smoke", "--only", "feature_reuse", "--workers", workers)
    folder = class_folders(tmp_path / "mine", count=12)
    own = ("--target", "real", "--data", f"folder:{folder}", "--epochs", 60)
    code, said, seconds = interrupted(["tlbook", *map(str, (*words, *own))], tmp_path, partial)
    assert (code, said.count(errors.INTERRUPTED)) == (130, 1) and "Traceback" not in said
    assert seconds < 2
    count = len(list(runs.root().iterdir()))
    time.sleep(1)
    assert len(list(runs.root().iterdir())) == count


def test_ctrl_c_while_it_starts(tmp_path):
    began = time.monotonic()

    def begun():
        return time.monotonic() > began + 0.6

    code, said, seconds = interrupted(["tlbook", "plan", "--scale", "smoke"], tmp_path, begun)
    assert code == 130 and errors.INTERRUPTED in said and "Traceback" not in said and seconds < 2


def test_ctrl_c_ends_a_build(tmp_path):
    code, said, seconds = interrupted(["tlbook.build", "--root", str(ROOT)], tmp_path, partial)
    assert code == 130 and errors.INTERRUPTED in said and "Traceback" not in said and seconds < 2


# Settings


@pytest.mark.parametrize("name", settings.FOLDERS)
def test_folders_of_the_environment_are_made_absolute(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, "images")
    settings.settle()
    assert os.environ[name] == str(tmp_path / "images")
    monkeypatch.setenv(name, "~nosuchuser/images")
    with pytest.raises(TlbookError, match=f"{name}: there is no home folder ~nosuchuser") as error:
        settings.settle()
    assert one_sentence(error)


@pytest.mark.parametrize("name", ["TLBOOK_RUNS", "TLBOOK_DATA", "TLBOOK_CACHE"])
@pytest.mark.parametrize("value", ["~nosuchuser/x", LONG, "/dev/null/x"])
def test_a_folder_that_cannot_be_is_one_sentence(name, value, command, monkeypatch):
    monkeypatch.setenv(name, value)
    code, _, err = command("train", "real", "--scale", "laptop", "--init", "RI-T")
    assert code == 2 and one_sentence(err.strip()) and "Traceback" not in err


@pytest.mark.parametrize("value", ["~nosuchuser/x", LONG, "a\0b"])
def test_a_path_that_cannot_be_is_one_sentence(value, command):
    for words in (("--data", value), ("--data", f"folder:{value}"), ("--pretrained", f"{value}.safetensors")):
        code, _, err = command("train", "real", "--scale", "smoke", *words)
        assert code == 2 and one_sentence(err.strip().splitlines()[-1]), err


def test_make_takes_its_variables_as_words(tmp_path):
    for words in (
        "SCALE=x; touch evil",
        "SCALE=x'; touch evil; '",
        "SCALE=$(shell touch evil)",
        "SCALE=`touch evil`",
    ):
        made = tmp_path / ".venv" / "bin" / "python"
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        made.chmod(0o755)
        for name in ("pyproject.toml", "constraints.txt", ".venv/.installed"):
            (tmp_path / name).touch()
        done = subprocess.run(
            ["make", "-f", ROOT / "Makefile", "book", words], cwd=tmp_path, capture_output=True, text=True
        )
        assert words.removeprefix("SCALE=") in done.stdout.splitlines(), done
        assert not (tmp_path / "evil").exists()
