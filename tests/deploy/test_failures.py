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
from antiphon.coordinator.checkpoint import load_states, read_manifest
from antiphon.coordinator.connection import Transport
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.finding import COORDINATOR
from antiphon.errors import ProtocolError, RoundError, WorkerDied
from antiphon.transport.codec import encode
from antiphon.transport.message import Edge, Header, Session
from rigs.games import failing, wide, with_dropout

SGD = AgentSpecification.of("SGD", {"lr": 0.01})
DEADLINE = 15.0


def executor(grammar, run: str, fuse: tuple[str, ...] = (), **options) -> RayExecutor:
    """Named actors of its own; starting one is dear, so those that a test does not look at share a worker (fuse)."""
    return RayExecutor(assign(grammar, SGD, placement=spread(grammar, [fuse])), run, **options)


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


def test_every_player_and_oracle_is_a_named_actor_of_its_own_and_status_answers_while_they_play(ray_is_up) -> None:
    with executor(wide(), "alive") as run:
        assert actors_of(run) == {"Nature", "First", "Second", "Last", "Loss", COORDINATOR}
        pids = {ray.get(worker.address.remote())[1] for worker in run.workers.values()}
        assert len(pids) == 5 and os.getpid() not in pids
        run.play(10)
        playing = run._coordinator.play.remote(300, 2)
        assert wait_until(lambda: run.status()["workers"]["Second"]["round"] > 20)
        status = run.status()
        assert status["round"] == 10 and status["generation"] == 1
        ray.get(playing)
        assert run.status()["round"] == 310


@pytest.mark.parametrize(
    "victim", ["Second", *(pytest.param(each, marks=pytest.mark.slow) for each in ("Nature", "Loss"))]
)
def test_a_killed_worker_ends_the_run_soon_and_is_named_with_its_round(ray_is_up, tmp_path, victim) -> None:
    checkpoint = tmp_path / "checkpoint"
    others = tuple(name for name in ("Nature", "First", "Second", "Last", "Loss") if name != victim)
    with executor(wide(), "to-be-killed", others) as run:
        run.play(10)
        run.save(checkpoint)
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
    with executor(failing(), "failing", ("Nature", "Fine", "Loss")) as run, pytest.raises(RoundError) as caught:
        run.play(10)
    assert str(caught.value) == (
        "worker 'Fails' failed in round 3 at step «query    Fails: Fails»: ZeroDivisionError: the fourth is too many. "
        "Expected it to play; see the traceback that this error carries."
    )
    assert (caught.value.worker, caught.value.round) == ("Fails", 3)
    assert "the fourth is too many" in caught.value.traceback


def refusal_of_a_frame(generation: int, round: int) -> tuple[str, str, Edge]:
    """What ends a run, after three rounds, in which a frame of this session and round was slipped in; and where."""
    grammar = with_dropout()
    with executor(
        grammar, "slipped", ("Second", "Nature", "Norm", "Last", "Loss"), transport=Transport.OBJECT_STORE
    ) as run:
        run.play(3)
        edge = next(e for e in run.assignment.schedule.edges.values() if (e.source, e.target) == ("First", "Second"))
        session = Session(grammar.signature, generation=generation, deadline=1.0)
        value = torch.zeros(edge.shape, dtype=edge.dtype)
        frame = bytes(encode(Header.of(session, edge, round), value, checksum=True))
        ray.get(run.workers["Second"].deliver.remote(edge.number, frame))
        with pytest.raises(ProtocolError) as caught:
            run.play(3)
    return str(caught.value), grammar.signature[:16], edge


def test_a_foreign_frame_on_a_live_edge_ends_the_run(ray_is_up) -> None:
    text, signature, edge = refusal_of_a_frame(generation=7, round=3)
    assert text.startswith(
        f"worker 'Second' refused a early message from worker 'First' on edge {edge.name!r}: expected signature "
        f"{signature}, generation 1, round 3, query phase, edge {edge.number}; arrived signature "
        f"{signature}, generation 7"
    )


@pytest.mark.slow
def test_a_duplicate_frame_on_a_live_edge_ends_the_run(ray_is_up) -> None:
    text, _, _ = refusal_of_a_frame(generation=1, round=2)
    assert "refused a duplicate or late message from worker 'First'" in text
