"""A command line in this process, in an empty folder; tiny runs."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from antiphon.cli.app import app

TINY_DAC = [
    "dac",
    "--rounds=12",
    *(
        f"--set={change}"
        for change in (
            "rounds_per_report=5",
            "checkpoint_every=5",
            "dac.widths=[4]",
            "dac.batch=4",
            "dac.envs=2",
            "dac.warmup=4",
            "dac.learn_from=3",
            "dac.keywords.max_episode_steps=5",
            "evaluation.episodes=2",
        )
    ),
]
TINY_BACKPROP = ["backprop", "--rounds=4", "--set=backprop.widths=[8]", "--set=backprop.batch=16"]


@pytest.fixture
def tiny_dac() -> list[str]:
    return TINY_DAC


@pytest.fixture
def tiny_backprop() -> list[str]:
    return TINY_BACKPROP


@dataclass(frozen=True)
class Told:
    code: int
    out: str
    error: str


@pytest.fixture
def place(tmp_path, monkeypatch) -> Iterator[Path]:
    """An empty working directory, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name, module in list(sys.modules.items()):  # the next test's module of that name is another
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def antiphon(place) -> Callable[..., Told]:
    def call(*arguments: str) -> Told:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        return Told(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def start(place) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """The command line in a process of its own, to be interrupted; ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def call(*arguments: str, **options) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "antiphon", *arguments]
        clean = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
        process = subprocess.Popen(
            command, cwd=place, env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def await_line() -> Callable[[subprocess.Popen[str], str], str]:
    return _await_line


def _await_line(process: subprocess.Popen[str], beginning: str) -> str:
    """Read standard output until a line begins so."""
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return line
    raise AssertionError(f"no line began with {beginning!r}: {process.stderr.read()}")
