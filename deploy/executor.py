"""The executor `ray`: one named actor per worker, and a coordinator, in the Ray namespace of the run."""

import contextlib
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, final

import ray
from ray.exceptions import ActorAlreadyExistsError, GetTimeoutError, RayActorError, RayError, RayTaskError

from antiphon.coordinator.background import in_background
from antiphon.coordinator.boundary import Boundary, checked_rounds, python_interrupts
from antiphon.coordinator.checkpoint import Labels, Manifest, Writer, clear, write_manifest
from antiphon.coordinator.connection import Checksum, Transport
from antiphon.coordinator.executor import Played
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.placement import WorkerResources
from antiphon.coordinator.storage import Folder, Place, folder_at
from antiphon.coordinator.versions import not_installed, versions
from antiphon.deploy.actors import coordinator_actor, worker_actor
from antiphon.deploy.environments import await_environments
from antiphon.deploy.finding import COORDINATOR, check_free, namespace_of, taken
from antiphon.deploy.pool import Pool
from antiphon.deploy.reservation import Reservation
from antiphon.errors import PlacementError, RoundError, WorkerDied, unstopped

CLOSING = 30.0
"""Seconds that workers may take to leave a failed round. If a peer has died, a gloo call may never return."""


@final
class RayExecutor:
    """Plays rounds on Ray. Ray must be running, for example in a `ray_session`.

    Actors have the names of the workers, in the namespace `antiphon-<run>`. The driver only starts batches of rounds.
    run: name of the run. transport: how tensors are sent between workers. deadline: seconds within which a message must
    arrive. checksum: which messages carry a CRC32C. pool: take resident workers from this pool instead of starting
    named actors; the placement must then ask for no resources.
    Raises PlacementError for a placement that the cluster or the pool cannot satisfy, ClusterError for a name in use.
    """

    def __init__(
        self,
        assignment: Assignment,
        run: str,
        *,
        transport: Transport = Transport.PROCESS_GROUP,
        deadline: float = 30.0,
        checksum: Checksum = "between-machines",
        pool: Pool | None = None,
    ) -> None:
        self.assignment, self.run, self._pool = assignment, run, pool
        self._boundary, self._batches = Boundary(), 0
        self._playing: Any = None  # Any: Ray's references to the last batch, and to the request to end it early
        self._finishing: Any = None
        self._connecting = transport, deadline, checksum
        self._writer = Writer()
        self._saving: Future[Manifest] | None = None
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
        """The next round to play.

        Raises ProtocolError if the last batch of rounds failed, until `load` restores a state.
        """
        return self._boundary.round

    def play(self, rounds: int) -> Played:
        """Play the next rounds. Blocks until all workers have played them.

        If workers fail, raises the most likely cause. After Ctrl-C, all workers finish the current round, and then
        KeyboardInterrupt is raised. A second Ctrl-C raises at once. After an interrupted round, workers may be at
        different steps: `round`, `play`, `states` and `save` then raise ProtocolError until `load` restores a state.
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
        """Return the states of all players, oracles and clones, by name."""
        self._boundary.check("return its states")
        calls = [worker.states.remote() for worker in self.workers.values()]
        found = self._ask("return its states", lambda: calls)
        return {name: state for states in found for name, state in states.items()}

    def load(self, states: Mapping[str, Any], round: int) -> None:
        """Load states that `states` returned, by name. round: the next round to play.

        After a failed round, this works only if all workers are alive.
        """
        round, broken = checked_rounds(round), self._boundary.left
        with self._boundary.crossing("load", anew=True):
            if broken and not self._stopped():
                # Make all players and oracles again, with channels of a new generation.
                self._ask("close", lambda: [worker.close.remote() for worker in self.workers.values()], _soon)
                self._enlist()
            shared = ray.put(dict(states))
            self._ask("load", lambda: [worker.load.remote(shared) for worker in self.workers.values()])
            self._ask("resume", lambda: self._coordinator.resume_at.remote(round))
            self._boundary.arrive(round)

    def save(self, folder: Place, labels: Labels | None = None) -> None:
        """Write a checkpoint into `folder`. See `begin_save`."""
        folder = folder_at(folder)
        folder.make(above=True)
        self.begin_save(folder, labels).result()

    def begin_save(self, folder: Place, labels: Labels | None = None) -> Future[Manifest]:
        """Let all workers copy their states now, and write them into `folder` while the next rounds play.

        Each worker on a machine that sees this folder writes its own states into it. The driver writes the states of
        the other workers, and then the manifest.
        """
        self._boundary.check("be saved")
        if self._saving is not None:
            self._saving.exception()  # one checkpoint at a time
        folder, round = folder_at(folder), self._boundary.last
        clear(folder)
        generation, names = self._ask("copy its states", lambda: self._coordinator.cut.remote())
        labels, assignment = labels or Labels(), self.assignment
        origin = assignment.grammar.signature, round, assignment.seed, names
        told = {"generation": generation, "experiment": labels.experiment, "metrics": labels.metrics}
        self._saving = in_background(lambda: self._write(folder, partial(Manifest, *origin, **told)))
        return self._saving

    def _write(self, folder: Folder, manifest: Callable[..., Manifest]) -> Manifest:
        """Let the workers write their copies, write the others', and then the manifest.

        manifest: makes the manifest from `files`.
        """
        sign = f"{uuid.uuid4().hex}.sign"
        folder.write(sign, b"")
        try:
            files, others = self._ask("save", lambda: self._coordinator.save.remote(folder.address, sign))
        finally:
            folder.discard(sign)
        growing = {oracle.name for oracle in self.assignment.grammar.query.oracles}
        written = manifest(files={**files, **self._writer.write(folder, others, growing)})
        write_manifest(folder, written)
        return written

    def sites(self) -> Mapping[str, Any]:  # Any: `transport.route.Site`, from a folder that this one does not import
        """Return the machine and device of each worker, by name."""
        return self._ask("return its sites", lambda: self._coordinator.sites.remote())

    def status(self) -> dict[str, Any]:  # Any: JSON-able
        """Return the status of the run as JSON: name, grammar, next round, and the current action of each worker.

        May be called while rounds are played.
        """
        return self._ask("return its status", lambda: self._coordinator.status.remote())

    @property
    def ending(self) -> bool:
        """Whether another process has asked the coordinator to end the run."""
        return self._ask("return whether it is to end", lambda: self._coordinator.ending.remote())

    def close(self) -> None:
        """Stop all actors of this run, or give workers and coordinator back to the pool. May be called twice."""
        self._boundary.end()
        if self._saving is not None:
            with contextlib.suppress(TimeoutError):
                self._saving.exception(CLOSING)
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
            assert self._reservation is not None  # it is made if there is no pool
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
            raise taken(self.run) from None  # by a run that started at the same time

    def _enlist(self) -> None:
        enlisted = self.assignment, self.run, self.workers, *self._connecting
        self._ask("start", lambda: self._coordinator.enlist.remote(*enlisted))

    def _finished(self, call: Any) -> tuple[Played, KeyboardInterrupt | None]:  # Any: Ray's reference
        """Return the result of a batch, and the KeyboardInterrupt that ended it early, if there was one."""
        try:
            return ray.get(call), None
        except KeyboardInterrupt as interrupt:
            if not python_interrupts():
                raise  # it comes from a handler of the user, which aborts at once
            return self._finish(call), interrupt

    def _finish(self, call: Any) -> Any:  # Any: Ray's reference, and its result
        """End a batch of rounds after the round that the workers play now, and return its result.

        call: Ray's reference to the batch. The request to end a batch is sent only once.
        """
        self._finishing = self._finishing or self._coordinator.finish.remote(self._batches)
        ray.get(self._finishing)
        return ray.get(call)

    def _stopped(self) -> bool:
        """End the interrupted batch of rounds, if there is one.

        Return whether all workers are then at the same round boundary.
        """
        try:
            if self._playing is not None:
                self._finish(self._playing)
        except RayError:
            return False
        return True

    def _ask(self, what: str, call: Callable[[], Any], get: Callable[[Any], Any] = ray.get) -> Any:
        # Any: Ray's references and their results
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
            raise RoundError(f"the coordinator failed to {what}: {unstopped(error)}. Look at its traceback.") from error
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


def _soon(calls: Any) -> Any:  # Any: Ray's references and their results
    return ray.get(calls, timeout=CLOSING)
