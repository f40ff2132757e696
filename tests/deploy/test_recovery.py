"""A round happens for all workers or for none: after a death at any step, a run goes on with the same numbers."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import ray
from ray.experimental.internal_kv import _internal_kv_put
from torch import nn

from antiphon.coordinator.checkpoint import Manifest, clear
from antiphon.coordinator.connection import Transport
from antiphon.coordinator.ending import ENDING, is_asked
from antiphon.coordinator.history import History, committed, read_history
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.round_file import last_round
from antiphon.coordinator.storage import folder_at
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.finding import COORDINATOR
from antiphon.deploy.pool import Pool
from antiphon.deploy.recovery import REPEATS, RecoveringExecutor, _Saving
from antiphon.errors import RoundError, WorkerDied
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.states import same_states
from rigs.faults import StruckOnce, WaitsInLoading
from rigs.games import points, small_dac, specifications, with_dropout

DEADLINE = 20.0
HASTY = 6.0
"""Seconds after which a stopped process is missed; a living one must answer within them, also on a busy machine."""


class Run:
    """A recovering run on resident workers, and its history file."""

    def __init__(
        self, grammar: Grammar, pool: Pool, folder: Path, max_recoveries: int = 5, deadline: float = DEADLINE, **options
    ) -> None:
        self.grammar, self.path = grammar, folder / "history.jsonl"
        assignment = assign(grammar, specifications(grammar), placement=spread(grammar))
        history = History(self.path)
        self.plain = RayExecutor(assignment, "recovering", deadline=deadline, pool=pool, history=history, **options)
        self.executor = RecoveringExecutor(self.plain, max_recoveries)

    def actor(self, name: str):
        return self.plain._coordinator if name == COORDINATOR else self.plain.workers[name]

    def pids(self) -> dict[str, int]:
        return {name: ray.get(self.actor(name).address.remote())[1] for name in (*self.plain.workers, COORDINATOR)}

    def strike(self, name: str, round: int, what: signal.Signals = signal.SIGKILL) -> threading.Thread:
        """Send a signal to an actor, from a thread, as soon as it plays a round after `round`."""
        pid, watched = self.pids()[name], self.plain.workers["Nature" if name == COORDINATOR else name]

        def strike() -> None:
            while (last_round(watched) or 0) <= round:
                pass
            os.kill(pid, what)

        thread = threading.Thread(target=strike)
        thread.start()
        return thread

    def check(self, rounds: int) -> None:
        """Compare all states with an undisturbed run in one process; each round stands once in the history."""
        with InlineExecutor(assign(self.grammar, specifications(self.grammar))) as undisturbed:
            undisturbed.play(rounds)
            assert same_states(self.executor.states(), undisturbed.states())
        counted = [round for each in committed(read_history(self.path)) for round in each]
        assert counted == list(range(rounds))


@pytest.fixture
def start(pool: Pool, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(grammar: Grammar, **options) -> Run:
        runs.append(Run(grammar, pool, tmp_path, **options))
        return runs[-1]

    yield start
    for run in runs:
        run.executor.close()


slow = pytest.mark.slow


@pytest.mark.parametrize("victim", ["Second", COORDINATOR, *(pytest.param(x, marks=slow) for x in ("Nature", "Loss"))])
def test_after_a_death_within_a_round_the_run_goes_on_from_its_beginning_with_the_same_numbers(start, victim) -> None:
    run = start(with_dropout())
    before = run.pids()
    striking = run.strike(victim, 50)
    played = run.executor.play(2000)
    striking.join()
    assert (played.round, played.rounds) == (2000, 2000)
    (report,) = run.executor.recoveries
    assert (report.worker, report.restored, report.generation) == (victim, 0, 2)
    after = run.pids()
    assert {name for name in before if before[name] != after[name]} == {victim}
    run.check(2000)


def test_after_a_death_the_run_goes_on_from_its_last_checkpoint_and_replays_only_later_rounds(start, tmp_path) -> None:
    run = start(small_dac())
    run.executor.play(60)
    run.executor.save(tmp_path / "checkpoint")
    run.executor.play(40)
    striking = run.strike("Critic", 150)
    assert run.executor.play(400).round == 500
    striking.join()
    (report,) = run.executor.recoveries
    assert (report.worker, report.restored, report.replayed) == ("Critic", 60, 40) and report.round > 150
    run.check(500)


def test_a_death_between_two_rounds_is_noticed_by_whatever_is_asked_next(start, tmp_path) -> None:
    run = start(with_dropout())
    for victim, ask in [
        ("First", run.executor.states),
        (COORDINATOR, lambda: run.executor.ending),
        ("Last", lambda: run.executor.save(tmp_path / "checkpoint")),
        (COORDINATOR, lambda: run.executor.save(tmp_path / "other")),
    ]:
        run.executor.play(5)
        os.kill(run.pids()[victim], signal.SIGKILL)
        ask()
    assert [each.worker for each in run.executor.recoveries] == ["First", COORDINATOR, "Last", COORDINATOR]
    run.check(20)


def test_too_many_recoveries_end_the_run_with_the_last_error(start) -> None:
    run = start(with_dropout(), max_recoveries=1)
    striking = run.strike("Second", 20)
    run.executor.play(300)
    striking.join()
    striking = run.strike("First", 320)
    with pytest.raises(WorkerDied) as caught:
        run.executor.play(100_000)
    striking.join()
    assert caught.value.worker == "First" and "max_recoveries = 1" in caught.value.__notes__[-1]


def test_a_run_that_comes_no_further_ends_although_its_recoveries_are_long_past(start, monkeypatch) -> None:
    monkeypatch.setattr("antiphon.deploy.recovery._HOUR", 0.0)
    monkeypatch.setattr("antiphon.deploy.recovery.REPEATS", 9)
    run = start(dying("", 7, "kill"), max_recoveries=2)
    with pytest.raises(WorkerDied) as caught:
        run.executor.play(10)
    assert (caught.value.worker, caught.value.round, len(run.executor.recoveries)) == ("Second", 7, 2)


def test_a_round_in_which_the_same_worker_fails_each_time_ends_the_run(start) -> None:
    run = start(dying("", 7, "segfault"), max_recoveries=20)
    run.executor.play(4)
    with pytest.raises(RoundError) as caught:
        run.executor.play(6)
    assert (caught.value.worker, caught.value.round, len(run.executor.recoveries)) == ("Second", 7, REPEATS - 1)
    text = str(caught.value)
    assert all(part in text for part in ("'Second'", "round 7", f"{REPEATS} times", "its process", "antiphon resume"))


def test_a_worker_that_fails_before_every_round_does_not_end_a_run_that_comes_further(start) -> None:
    run = start(with_dropout(), max_recoveries=20)
    for round in range(REPEATS + 1):
        os.kill(run.pids()["First"], signal.SIGKILL)
        assert run.executor.play(1).round == round + 1
    assert [each.worker for each in run.executor.recoveries] == ["First"] * (REPEATS + 1)


@pytest.fixture
def struck_in_loading(start, tmp_path) -> Callable[..., Run]:
    """Let "Second" die in round 7, and send a signal to `victim` while "Last" gets the state of round 5 back."""

    def struck(victim: str, what: signal.Signals = signal.SIGKILL, **options) -> Run:
        layers = {"Second": Factory.of(StruckOnce, 4, 4, str(tmp_path / "sign"), 7, "kill")}
        last = Factory.of(WaitsInLoading, 4, 3, str(tmp_path))
        run = start(backprop(points(4), {"First": Factory.of(nn.Linear, 4, 4), **layers, "Last": last}), **options)
        run.executor.play(5)
        run.executor.save(tmp_path / "checkpoint")
        pid = run.pids()[victim]

        def strike() -> None:
            while not (tmp_path / "loading").exists():
                pass
            os.kill(pid, what)
            (tmp_path / "go").touch()

        striking = threading.Thread(target=strike)
        striking.start()
        try:
            run.executor.play(5)
        finally:
            striking.join()
        return run

    return struck


@pytest.mark.parametrize(
    ("victim", "what"),
    [
        ("Last", signal.SIGKILL),
        (COORDINATOR, signal.SIGKILL),
        pytest.param("First", signal.SIGKILL, marks=slow),
        pytest.param("Last", signal.SIGSTOP, marks=slow),
    ],
)
def test_a_failure_while_the_checkpoint_is_loaded_is_recovered_and_reported_too(struck_in_loading, victim, what):
    run = struck_in_loading(victim, what, deadline=HASTY)
    reports = [(each.worker, each.round, each.restored) for each in run.executor.recoveries]
    assert reports == [("Second", 7, 5), (victim, 5, 5)]
    run.check(10)


def test_a_failure_while_the_checkpoint_is_loaded_counts_as_another_recovery(struck_in_loading) -> None:
    with pytest.raises(WorkerDied) as caught:
        struck_in_loading("Last", max_recoveries=1)
    assert (caught.value.worker, caught.value.round) == ("Last", 5)
    assert "Second in round 7" in caught.value.__notes__[-1]


def test_a_request_to_end_outlives_the_coordinator(start) -> None:
    run = start(with_dropout())
    run.executor.play(5)
    assert not run.executor.ending
    _internal_kv_put(f"{ENDING}recovering", b"")  # as `antiphon stop` does
    os.kill(run.pids()[COORDINATOR], signal.SIGKILL)
    assert run.executor.play(5).round == 10 and run.executor.ending
    assert [each.worker for each in run.executor.recoveries] == [COORDINATOR]
    assert run.plain.status()["ending"]
    run.executor.close()
    assert not is_asked("recovering")  # a later run of this name does not end


def test_a_recovery_goes_on_from_loaded_states_although_a_checkpoint_was_begun_before(start, tmp_path) -> None:
    run = start(with_dropout())
    states = run.executor.states()
    run.executor.play(10)
    written = run.executor.begin_save(tmp_path)
    run.executor.load(states, 0)
    run.executor.play(3)
    os.kill(run.pids()["First"], signal.SIGKILL)
    assert run.executor.play(2).round == 5 and written.result().round == 10
    (report,) = run.executor.recoveries
    assert (report.restored, report.replayed) == (0, 3)
    run.check(5)


def test_a_checkpoint_is_awaited_no_longer_than_asked_and_a_folder_that_is_gone_is_its_failure(tmp_path) -> None:
    def begin() -> Future[Manifest]:
        clear(folder_at(tmp_path / "gone"))
        return Future()

    saving = _Saving(lambda: None, 5, begin)
    saving.written = Future()
    for ask in (saving.result, saving.exception):
        with pytest.raises(TimeoutError):
            ask(0.01)
    saving.begin_again()
    with pytest.raises(FileNotFoundError):
        saving.end()


@pytest.mark.parametrize("victim", [COORDINATOR, pytest.param("Second", marks=slow)])
def test_a_stopped_process_is_found_at_the_deadline_named_and_replaced(start, victim) -> None:
    run = start(with_dropout(), deadline=HASTY)
    run.executor.play(5)
    striking = run.strike(victim, 50, signal.SIGSTOP)
    assert run.executor.play(1000).round == 1005
    striking.join()
    (report,) = run.executor.recoveries
    assert report.worker == victim
    assert victim == COORDINATOR or report.round > 50
    run.check(1005)


@slow
def test_a_worker_that_is_stopped_while_states_are_saved_is_found_and_the_checkpoint_written(start, tmp_path) -> None:
    run = start(with_dropout(), deadline=HASTY)
    run.executor.play(5)
    os.kill(run.pids()["Last"], signal.SIGSTOP)
    written = run.executor.begin_save(tmp_path)
    assert written.result().round == 5
    (report,) = run.executor.recoveries
    assert report.worker == "Last"
    run.check(5)


def dying(sign: Path | str, at: int, how: str) -> Grammar:
    """A network whose player "Second" is struck by its own operator in round `at`. sign: as for `StruckOnce`."""
    layers = {"First": Factory.of(nn.Linear, 4, 4), "Second": Factory.of(StruckOnce, 4, 4, str(sign), at, how)}
    return backprop(points(4), {**layers, "Last": Factory.of(nn.Linear, 4, 3)})


@pytest.mark.parametrize("how", ["kill", "hang", pytest.param("stop", marks=slow)])
def test_the_round_of_a_death_or_stall_is_exact(start, tmp_path, how) -> None:
    run = start(dying(tmp_path / "sign", 7, how), deadline=HASTY)
    run.executor.play(4)
    assert run.executor.play(6).round == 10
    (report,) = run.executor.recoveries
    assert (report.worker, report.round) == ("Second", 7)
    run.check(10)


@pytest.mark.parametrize("victim", ["Second", COORDINATOR])
def test_late_frames_of_an_older_generation_are_dropped_where_ray_carries_the_messages(start, victim) -> None:
    run = start(with_dropout(), transport=Transport.OBJECT_STORE)
    striking = run.strike(victim, 10)
    assert run.executor.play(100).round == 100
    striking.join()
    assert len(run.executor.recoveries) == 1
    run.check(100)
