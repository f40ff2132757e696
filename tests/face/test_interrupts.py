"""Ctrl-C ends a run cleanly, in a process of its own, as users meet it; a full disk says where."""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import termios
from contextlib import contextmanager

import pytest

from antiphon.runs.interrupts import NOTICE, Interrupted, Interrupts

ENDLESS = ["--rounds=1000000000", "--set=rounds_per_report=20"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_ends_a_run_with_everything_written(start, await_line, place, tiny_dac, number, code):
    process = start("run", *tiny_dac, *ENDLESS, "--out=mine")
    await_line(process, "round 1/")
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error.encode()) == (code, NOTICE)
    assert out.splitlines()[-1] == "run folder: mine"
    summary = json.loads((place / "mine/summary.json").read_text())
    last = json.loads((place / "mine/metrics.jsonl").read_text().splitlines()[-1])
    assert (summary["status"], summary["round"]) == ("interrupted", last["round"])
    assert (place / f"mine/checkpoints/round-{last['round']:09d}/manifest.json").exists()


def test_a_second_signal_aborts_at_once(start, await_line, place, tiny_dac):
    process = start("run", *tiny_dac, *ENDLESS, "--set=rounds_per_report=1000000000", "--out=mine")
    await_line(process, "round 1/")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.read(len(NOTICE)).encode() == NOTICE
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "aborted\n")
    assert json.loads((place / "mine/summary.json").read_text())["status"] == "aborted"


def test_a_closed_terminal_ends_a_run_with_everything_written(place, tiny_dac):
    mine, terminal = os.openpty()
    command = [sys.executable, "-P", "-m", "antiphon", "run", *tiny_dac, *ENDLESS, "--out=mine"]
    ends = {"stdin": terminal, "stdout": terminal, "stderr": terminal, "start_new_session": True}
    process = subprocess.Popen(command, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), cwd=place, **ends)
    os.close(terminal)
    shown = b""
    while b"round 1/" not in shown:  # it may come in pieces
        shown += os.read(mine, 65536)
        assert process.poll() is None
    os.close(mine)
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    summary = json.loads((place / "mine/summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert (place / f"mine/checkpoints/round-{summary['round']:09d}/manifest.json").exists()


@contextmanager
def small_files():
    """No file of this process grows beyond 8 KiB in this block, and only there: the log of the tests may be larger."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


def test_a_disk_that_fills_up_is_named(antiphon, place, tiny_backprop):
    changes = ["--rounds=1000", "--set=rounds_per_report=1", "--set=checkpoint_every=1000000"]
    with small_files():
        told = antiphon("run", *tiny_backprop, *changes, "--out=mine")
    assert (told.code, told.error) == (
        1,
        "error: 'mine/metrics.jsonl' cannot be written: File too large. Expected room and permission until the end of "
        "the run; free some space, then resume the run: the last complete checkpoint is kept.\n",
    )
    assert json.loads((place / "mine/summary.json").read_text())["status"] == "failed"


def test_a_checkpoint_that_does_not_fit_leaves_no_part_of_it(antiphon, place, tiny_backprop):
    with small_files():
        told = antiphon("run", *tiny_backprop, "--set=backprop.widths=[64]", "--out=mine")
    folder = place / "mine/checkpoints/round-000000004"
    assert told.code == 1
    assert told.error.startswith(f"error: {str(folder)!r} cannot be written: ")
    assert not folder.exists()


def test_a_first_signal_is_remembered_and_a_second_one_raises(capfd):
    with Interrupts() as interrupts:
        interrupts.gentle = True
        signal.raise_signal(signal.SIGTERM)
        assert (interrupts.asked, capfd.readouterr().err.encode()) == (signal.SIGTERM, NOTICE)
        with pytest.raises(Interrupted, match="signal 2"):
            signal.raise_signal(signal.SIGINT)


def test_without_gentleness_the_first_one_raises_and_handlers_are_given_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
