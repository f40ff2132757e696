"""The executor `ray`: a named actor per worker and a coordinator, in a namespace of the run's own."""

import contextlib
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import ray
from ray.exceptions import ActorAlreadyExistsError, GetTimeoutError, RayActorError, RayError, RayTaskError

from antiphon.coordinator.boundary import Boundary, checked_rounds, python_interrupts
from antiphon.coordinator.checkpoint import save_states, write_manifest
from antiphon.coordinator.connection import Transport
from antiphon.coordinator.executor import Played
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.placement import WorkerResources
from antiphon.coordinator.versions import not_installed, versions
from antiphon.deploy.actors import coordinator_actor, worker_actor
from antiphon.deploy.environments import await_environments
from antiphon.deploy.finding import COORDINATOR, check_free, namespace_of, taken
from antiphon.deploy.pool import Pool
from antiphon.deploy.reservation import Reservation
from antiphon.errors import PlacementError, RoundError, WorkerDied

CLOSING = 30.0
"""Seconds within which workers of a broken round are to let go of it. Peers that fail may leave gloo without an end."""


@final
class RayExecutor:
    """Plays rounds on Ray. Needs a Ray to be running (`ray_session`).

    Workers are named as in the placement, inside the namespace `antiphon-<run>`; the driver only says how many rounds.
    pool: borrow resident workers from it instead of starting named ones; they ask nothing of the cluster.
    """

    def __init__(
        self,
        assignment: Assignment,
        run: str,
        *,
        transport: Transport = Transport.PROCESS_GROUP,
        deadline: float = 30.0,
        pool: Pool | None = None,
    ) -> None:
        self.assignment, self.run, self._pool = assignment, run, pool
        self._boundary, self._batches = Boundary(), 0
        self._playing: Any = None  # Any: Ray's references, to the batch played last and to its end on request
        self._finishing: Any = None
        self._connecting = transport, deadline
        self.namespace = namespace_of(run)
        if pool is not None and any(
            demand != WorkerResources() for demand in assignment.placement.resources_of.values()
        ):
            raise PlacementError(
                f"run {run!r} asks resources for its workers, and a resident pool has none to give; expected workers "
                "that ask nothing. Leave out the pool."
            )
        if COORDINATOR in assignment.placement.names:
            raise PlacementError(
                f"a worker of run {run!r} is called {COORDINATOR!r}, as the actor that counts its rounds is; expected "
                "another name. Rename the player or oracle, or fuse it behind another one."
            )
        if pool is None:
            check_free(run)
        self._reservation = Reservation(assignment.placement, self.namespace) if pool is None else None
        self.workers: dict[str, Any] = {}  # Any: Ray's actor handles have no common type
        self._coordinator: Any = None
        self._broken = False
        try:
            self._start()
        except BaseException:
            self._broken = True
            self.close()
            raise

    @property
    def round(self) -> int:
        """The next round to play. Raises ProtocolError after rounds that broke off."""
        return self._boundary.round

    def play(self, rounds: int) -> Played:
        """Play the next rounds; blocks. Raises the cause of the first failure.

        Ctrl-C ends the round in hand on all workers and then raises KeyboardInterrupt; a second one raises at once.
        After a round that broke off the state is of no round: until `load`, everything else is a ProtocolError.
        """
        rounds = checked_rounds(rounds)
        with self._boundary.crossing("play"):
            self._batches += 1
            self._playing, self._finishing = self._coordinator.play.remote(rounds, self._batches), None
            played, interrupt = self._ask("play", lambda: self._playing, self._finished)
            self._boundary.arrive(played.round)
        if interrupt is not None:
            raise interrupt
        return played

    def states(self) -> Mapping[str, Any]:
        """Everyone's state by name."""
        self._boundary.check("tell its states")
        calls = [worker.states.remote() for worker in self.workers.values()]
        found = self._ask("tell its states", lambda: calls)
        return {name: state for states in found for name, state in states.items()}

    def load(self, states: Mapping[str, Any], round: int) -> None:
        """Continue from states at a round boundary, also after rounds that broke off, while every worker lives."""
        round, broken = checked_rounds(round), self._boundary.left
        with self._boundary.crossing("load", anew=True):
            if broken and not self._stopped():
                # Make everybody anew, with channels of a new generation.
                self._ask("close", lambda: [worker.close.remote() for worker in self.workers.values()], _soon)
                self._enlist()
            shared = ray.put(dict(states))
            self._ask("load", lambda: [worker.load.remote(shared) for worker in self.workers.values()])
            self._ask("resume", lambda: self._coordinator.resume_at.remote(round))
            self._boundary.arrive(round)

    def save(self, folder: Path) -> None:
        """A checkpoint: workers that share this machine's folder write there, for others we do; then the manifest."""
        self._boundary.check("be saved")
        folder.mkdir(parents=True, exist_ok=True)
        sign = folder / f"{uuid.uuid4().hex}.sign"
        sign.touch()
        try:
            manifest, others = self._ask("save", lambda: self._coordinator.save.remote(str(folder), sign.name))
        finally:
            sign.unlink(missing_ok=True)
        for states in others:
            save_states(folder, states)
        write_manifest(folder, manifest)

    def sites(self) -> Mapping[str, Any]:  # Any: `transport.route.Site`, of a folder that this one does not know
        """Where each worker computes."""
        return self._ask("tell its sites", lambda: self._coordinator.sites.remote())

    def status(self) -> dict[str, Any]:  # Any: JSON-able
        """What the coordinator knows of the run; answers while rounds are played."""
        return self._ask("tell its status", lambda: self._coordinator.status.remote())

    @property
    def ending(self) -> bool:
        """Whether somebody asked the coordinator to end the run."""
        return self._ask("tell whether it is to end", lambda: self._coordinator.ending.remote())

    def close(self) -> None:
        """Stop every actor of this run, or give workers back to their pool. May be called twice."""
        self._boundary.end()
        workers, self.workers = list(self.workers.values()), {}
        coordinator, self._coordinator = self._coordinator, None
        if not ray.is_initialized():
            return
        with contextlib.suppress(RayError):
            ray.get([worker.close.remote() for worker in workers], timeout=5)
        lend_back = self._pool is not None and not self._broken and not self._boundary.left
        if lend_back and self._pool is not None:
            self._pool.give(workers, coordinator)
        else:
            for each in [*workers, *([coordinator] if coordinator else [])]:
                ray.kill(each)
        if self._reservation is not None:
            self._reservation.release()

    def __enter__(self) -> "RayExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        names = self.assignment.placement.names
        if self._pool is not None:
            self.workers = dict(zip(names, self._pool.take(len(names)), strict=True))
            self._coordinator = self._pool.take_coordinator()
        else:
            assert self._reservation is not None  # made where there is no pool
            for name in names:
                self.workers[name] = self._named(worker_actor(), name, self._reservation.options(name))
            self._coordinator = self._named(coordinator_actor(), COORDINATOR, self._reservation.options())
        await_environments(self.assignment.placement.resources_of, self.workers)
        if self._pool is None:
            driver = ray.util.get_node_ip_address(), versions()
            self._ask("compare versions", lambda: self._coordinator.compare.remote(driver, self.workers))
        self._enlist()

    def _named(self, actor: Any, name: str, options: dict[str, Any]) -> Any:  # Any: Ray's classes, options and handles
        try:
            return actor.options(name=name, namespace=self.namespace, **options).remote()
        except ActorAlreadyExistsError:
            raise taken(self.run) from None  # by a run that began while this one did

    def _enlist(self) -> None:
        enlisted = self.assignment, self.run, self.workers, *self._connecting
        self._ask("start", lambda: self._coordinator.enlist.remote(*enlisted))

    def _finished(self, call: Any) -> tuple[Played, KeyboardInterrupt | None]:  # Any: Ray's reference
        """What was played, and the Ctrl-C that ended it."""
        try:
            return ray.get(call), None
        except KeyboardInterrupt as interrupt:
            if not python_interrupts():
                raise  # of somebody's own handler, which wants to abort at once
            return self._finish(call), interrupt

    def _finish(self, call: Any) -> Any:  # Any: Ray's reference, and what it brings
        """The result of a batch that ends, on all workers, after the round in hand. It is asked to end once only."""
        self._finishing = self._finishing or self._coordinator.finish.remote(self._batches)
        ray.get(self._finishing)
        return ray.get(call)

    def _stopped(self) -> bool:
        """Whether all workers are at one boundary, once the batch that was left in the middle has been ended."""
        try:
            if self._playing is not None:
                self._finish(self._playing)
        except RayError:
            return False
        return True

    def _ask(self, what: str, call: Callable[[], Any], get: Callable[[Any], Any] = ray.get) -> Any:
        # Any: Ray's references and what they bring
        try:
            return get(call())
        except GetTimeoutError as error:
            self._broken = True
            raise RoundError(
                f"the workers of run {self.run!r} did not {what} within {CLOSING:g} s; expected them to let go of the "
                "round that broke off. Launch another run, and load the state there."
            ) from error
        except RayTaskError as error:
            self._broken = True
            if isinstance(error.cause, Exception):
                raise error.cause from None
            raise RoundError(f"the coordinator failed to {what}: {error}. Look at its traceback.") from error
        except RayActorError as error:
            self._broken = True
            missing = not_installed("the coordinator", error)
            if missing is not None:
                raise missing from None
            raise WorkerDied(
                f"the coordinator of run {self.run!r} died: its process is gone; expected it to {what}. "
                "Start again from the last checkpoint.",
                worker=COORDINATOR,
                round=self._boundary.last,
            ) from error


def _soon(calls: Any) -> Any:  # Any: Ray's references, and what they bring
    return ray.get(calls, timeout=CLOSING)
