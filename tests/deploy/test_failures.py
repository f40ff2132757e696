"""Who fails is named, with the round; the last checkpoint stays whole; nothing is left running."""

import os
import re
import signal
import threading
import time
from typing import Any

import pytest
import ray
import torch
from ray.util import list_named_actors

from antiphon.agents import AgentSpecification
from antiphon.coordinator.assignment import assign
from antiphon.coordinator.checkpoint import load_states, read_manifest
from antiphon.coordinator.connection import Transport
from antiphon.coordinator.placement import spread
from antiphon.coordinator.testing import failing, wide, with_dropout
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.finding import COORDINATOR
from antiphon.errors import ProtocolError, RoundError, WorkerDied
from antiphon.transport import Header, Session, encode

SGD = AgentSpecification.of("SGD", {"lr": 0.01})
DEADLINE = 15.0


def executor(grammar, run: str, **options) -> RayExecutor:
    return RayExecutor(assign(grammar, SGD, placement=spread(grammar)), run, **options)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def actors_of(run: RayExecutor) -> set[str]:
    found: Any = list_named_actors(all_namespaces=True)  # Any: its annotation forgets that these are mappings
    return {each["name"] for each in found if each["namespace"] == run.namespace}


def where(run: RayExecutor, worker: str) -> int:
    standing: Any = ray.get(run.workers[worker].where.remote())  # Any: as Ray annotates it
    return standing.round


def wait_until(condition, seconds: float = DEADLINE) -> bool:
    event, end = threading.Event(), time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        event.wait(0.05)
    return condition()


@pytest.fixture
def running(ray_is_up, tmp_path):
    """A run of named actors with a checkpoint after ten rounds."""
    grammar = wide()
    run = executor(grammar, "to-be-killed")
    run.play(10)
    run.save(tmp_path / "checkpoint")
    yield run, tmp_path / "checkpoint"
    run.close()


def test_every_player_and_oracle_is_a_named_actor_of_its_own(running) -> None:
    run, _ = running
    assert actors_of(run) == {"Nature", "First", "Second", "Last", "Loss", COORDINATOR}
    pids = {ray.get(worker.address.remote())[1] for worker in run.workers.values()}
    assert len(pids) == 5 and os.getpid() not in pids


@pytest.mark.parametrize("victim", ["Second", "Nature", "Loss"])
def test_a_killed_worker_ends_the_run_soon_and_is_named_with_its_round(running, victim) -> None:
    run, checkpoint = running
    pids = {name: ray.get(worker.address.remote())[1] for name, worker in run.workers.items()}

    def kill_once_playing() -> None:
        if wait_until(lambda: where(run, victim) > 20):
            os.kill(pids[victim], signal.SIGKILL)

    killer = threading.Thread(target=kill_once_playing)
    killer.start()
    started = time.monotonic()
    with pytest.raises(WorkerDied) as caught:
        run.play(1_000_000)
    elapsed = time.monotonic() - started
    killer.join()
    run.close()
    assert elapsed < DEADLINE
    assert caught.value.worker == victim and caught.value.round >= 20
    assert re.match(
        rf"worker '{victim}' died in round {caught.value.round}: its process on node \S+ is gone", str(caught.value)
    )
    manifest = read_manifest(checkpoint)
    assert manifest.round == 10
    assert load_states(checkpoint, manifest.names).keys() == {"Nature", "First", "Second", "Last"}
    assert wait_until(lambda: not any(map(alive, pids.values())))
    assert not actors_of(run)


def test_an_operator_that_raises_is_named_with_worker_round_and_traceback(ray_is_up) -> None:
    with executor(failing(), "failing") as run, pytest.raises(RoundError) as caught:
        run.play(10)
    assert str(caught.value) == (
        "worker 'Fails' failed in round 3 at step «query    Fails: Fails»: ZeroDivisionError: the fourth is too many. "
        "Expected it to play; see the traceback that this error carries."
    )
    assert (caught.value.worker, caught.value.round) == ("Fails", 3)
    assert "the fourth is too many" in caught.value.traceback


def test_a_foreign_frame_on_a_live_edge_ends_the_run(ray_is_up) -> None:
    grammar = with_dropout()
    with executor(grammar, "foreign", transport=Transport.OBJECT_STORE) as run:
        run.play(3)
        edge = next(e for e in run.assignment.schedule.edges.values() if (e.source, e.target) == ("First", "Second"))
        session = Session(grammar.signature, generation=7, deadline=1.0)
        frame = bytes(encode(Header.of(session, edge, 3), torch.zeros(edge.shape, dtype=edge.dtype)))
        ray.get(run.workers["Second"].deliver.remote(edge.number, frame))
        with pytest.raises(ProtocolError) as caught:
            run.play(3)
    assert str(caught.value).startswith(
        f"worker 'Second' refused a early message from worker 'First' on edge {edge.name!r}: expected signature "
        f"{grammar.signature[:16]}, generation 1, round 3, query phase, edge {edge.number}; arrived signature "
        f"{grammar.signature[:16]}, generation 7"
    )


def test_a_duplicate_frame_on_a_live_edge_ends_the_run(ray_is_up) -> None:
    grammar = with_dropout()
    with executor(grammar, "duplicate", transport=Transport.OBJECT_STORE) as run:
        run.play(3)
        edge = next(e for e in run.assignment.schedule.edges.values() if (e.source, e.target) == ("First", "Second"))
        session = Session(grammar.signature, generation=1, deadline=1.0)
        frame = bytes(encode(Header.of(session, edge, 2), torch.zeros(edge.shape, dtype=edge.dtype)))
        ray.get(run.workers["Second"].deliver.remote(edge.number, frame))
        with pytest.raises(ProtocolError) as caught:
            run.play(3)
    assert "refused a duplicate or late message from worker 'First'" in str(caught.value)


def test_status_answers_while_rounds_are_played(running) -> None:
    run, _ = running
    playing = run._coordinator.play.remote(300, 2)
    assert wait_until(lambda: run.status()["workers"]["Second"]["round"] > 20)
    status = run.status()
    assert status["round"] == 10 and status["generation"] == 1
    ray.get(playing)
    assert run.status()["round"] == 310
