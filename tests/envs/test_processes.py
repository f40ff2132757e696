"""Copies in processes of their own: they ignore a terminal's signals, are waited for with a deadline, and are ended."""

import multiprocessing
import os
import select
import signal
import threading
import time
from contextlib import closing

import gymnasium
import numpy as np
import pytest

from antiphon.envs.copies import Together
from antiphon.envs.environment import Name
from antiphon.envs.processes import Apart
from antiphon.errors import OracleError
from rigs.environments import Line, Misbehaving


def apart(id: Name = Line, deadline=60.0, **keywords):
    return closing(Apart(id, keywords, 2, deadline))


def step(copies, push=None):
    copies.begin_step(np.ones((2, 1), dtype=np.float32) if push is None else push, np.zeros(2, dtype=bool))
    return copies.end_step()


def steps(copies, count=3):
    copies.reset(0)
    return [step(copies) for _ in range(count)]


def flat(rounds):
    return [[np.concatenate([np.ravel(value) for value in each]).tolist() for each in row] for row in rounds]


def test_they_answer_what_copies_in_this_process_answer():
    with apart() as copies:
        assert flat(steps(copies, 9)) == flat(steps(Together(Line, {}, 2), 9))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("die", "process of copy 0 died (exit code 7)"),
        ("killed", "died (killed by SIGKILL)"),
        ("hang", "copy 0 did not answer step within 0.2 s"),
        ("exit", "raised in step 3: expected an observation; SystemExit"),
        ("crash", "raised in step 3: expected an observation; RuntimeError"),
    ],
)
def test_one_that_ends_or_hangs_is_named_and_none_is_left(fault, told):
    with apart(Misbehaving, fault=fault) as copies:
        steps(copies, 2)
        copies.deadline = 0.2 if fault == "hang" else 60.0
        with pytest.raises(OracleError) as refused:
            step(copies)
        copies.deadline = 60.0
        assert str(refused.value).startswith("environment 'Misbehaving'") and told in str(refused.value)
        with pytest.raises(OracleError, match="after an answer was missed"):
            step(copies)
        assert len(steps(copies, 2)) == 2  # a reset makes new ones
    assert multiprocessing.active_children() == []


class Unmade(gymnasium.Env):
    """Is made in one process only: the one that imported this module."""

    home = os.getpid()

    def __init__(self, how):
        self.observation_space = self.action_space = gymnasium.spaces.Box(-1, 1, (1,))
        if os.getpid() != Unmade.home:
            raise ValueError("not here") if how == "raise" else SystemExit(3)


@pytest.mark.parametrize("how", ["raise", "exit"])
def test_one_that_cannot_be_made_is_named(how):
    with pytest.raises(OracleError, match=r"^environment 'Unmade' cannot be made: "):
        Apart(Unmade, {"how": how}, 2, 60.0)
    assert multiprocessing.active_children() == []


def test_an_interrupt_of_all_processes_reaches_only_this_one():
    push = np.ones((2, 1), dtype=np.float32)
    with apart() as copies:
        copies.reset(0)
        for process in multiprocessing.active_children():
            assert process.pid is not None
            os.kill(process.pid, signal.SIGINT)
        step(copies, push)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        step(copies, push)
    assert multiprocessing.active_children() == []


def test_one_that_hangs_does_not_hold_up_an_interrupt():
    with apart(Misbehaving, deadline=600.0, fault="hang") as copies:
        steps(copies, 2)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            step(copies)
        began = time.monotonic()
    assert time.monotonic() - began < 30
    assert multiprocessing.active_children() == []


def test_they_end_when_their_parent_is_killed():
    read, write = os.pipe()
    made, ready = multiprocessing.Pipe()

    def parent():
        copies = Apart(Line, {}, 2, 60.0)
        ready.send(len(copies.reset(0)))
        threading.Event().wait()

    process = multiprocessing.get_context("fork").Process(target=parent)
    process.start()
    assert made.poll(60) and made.recv() == 2
    os.close(write)  # the others have it too: what is left to read ends with the last of them
    process.kill()
    assert select.select([read], [], [], 60)[0] == [read] and os.read(read, 1) == b""
    os.close(read)
    process.join()
