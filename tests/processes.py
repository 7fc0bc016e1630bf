"""Processes that tests start, watch, interrupt and kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _as_from_a_terminal():
    """What runs in the background, as tests may, has Ctrl-C ignored, and all that it starts inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*words, folder=None):
    """A Python process of its own group, as a shell would start it; its words are those of ``python``."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=folder, env=env, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=_as_from_a_terminal,
    )  # fmt: skip


def until(holds, process=None, seconds=90, what="it did not begin"):
    """Wait until something holds; the process, if one is named, is to be alive until then."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def interrupted(words, folder, begun):
    """Start a program, send it Ctrl-C as a terminal does once ``begun``; code, stderr and seconds it took."""
    process = start("-m", *words, folder=folder)
    until(begun, process)
    os.killpg(process.pid, signal.SIGINT)
    sent = time.monotonic()
    said = process.communicate(timeout=60)[1]
    return process.returncode, said, time.monotonic() - sent


def is_running(pid):
    """Is a process there that is more than a zombie?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
