"""The executor `ray`: one named actor per worker, and a coordinator, in the Ray namespace of the run."""

import contextlib
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, final

import ray
from ray.exceptions import ActorAlreadyExistsError, RayError, RayTaskError

from antiphon.coordinator.background import in_background
from antiphon.coordinator.boundary import Boundary, checked_rounds, python_interrupts
from antiphon.coordinator.checkpoint import Labels, Manifest, Writer, clear, write_manifest
from antiphon.coordinator.connection import Checksum, Transport
from antiphon.coordinator.ending import forget
from antiphon.coordinator.executor import Played
from antiphon.coordinator.history import History
from antiphon.coordinator.importable import not_importable, pickled
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.placement import WorkerResources
from antiphon.coordinator.storage import Folder, Place, folder_at
from antiphon.coordinator.versions import versions
from antiphon.deploy.actors import coordinator_actor, worker_actor
from antiphon.deploy.environments import await_environments
from antiphon.deploy.finding import COORDINATOR, check_free, namespace_of, taken
from antiphon.deploy.head import head_watch
from antiphon.deploy.pool import Pool
from antiphon.deploy.reservation import Reservation
from antiphon.deploy.revival import START, answered, revive
from antiphon.errors import AntiphonError, PlacementError, RoundError, WorkerDied, unstopped

CLOSING = 30.0
"""Seconds that workers may take to leave a failed round. If a peer has died, a gloo call may never return."""


@final
class RayExecutor:
    """Plays rounds on Ray. Ray must be running, for example in a `ray_session`.

    Actors have the names of the workers, in the namespace `antiphon-<run>`. The driver only starts batches of rounds.
    run: name of the run. transport: how tensors are sent between workers. deadline: seconds within which a message must
    arrive. checksum: which messages carry a CRC32C. pool: take resident workers from this pool instead of starting
    named actors; the placement must then ask for no resources. history: where the generations of the channels and the
    rounds played are written.
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
        history: History | None = None,
    ) -> None:
        self.history = history or History()
        self.assignment, self.run, self._pool = assignment, run, pool
        self._boundary, self._batches = Boundary(), 0
        self._playing: Any = None  # Any: Ray's references to the last batch, and to the request to end it early
        self._finishing: Any = None
        # New processes import torch, and answer late.
        self._connecting, self._patience = (transport, deadline, checksum), START
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
        forget(run)  # a driver that was killed has perhaps left one behind
        self._head = head_watch()
        self._reservation = Reservation(assignment.placement, self.namespace) if pool is None else None
        self.workers: dict[str, Any] = {}  # Any: Ray's actor handles have no common type
        self._coordinator: Any = None
        self._broken = False
        try:
            self._start()
            self._patience = deadline
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
            played, interrupt = self._ask("play", self._finished)
            self._boundary.arrive(played.round)
            self.history.played(played.round - played.rounds, played.round)
        if interrupt is not None:
            raise interrupt
        return played

    def states(self, learned: bool = False) -> Mapping[str, Any]:
        """Return the states of all players, oracles and clones, by name. learned: see `Executor.states`."""
        self._boundary.check("return its states")
        found = self._of_workers("return their states", lambda worker: worker.states.remote(learned))
        return {name: state for states in found.values() for name, state in states.items()}

    def load(self, states: Mapping[str, Any], round: int) -> None:
        """Load states that `states` returned, by name. round: the next round to play.

        After a failed or interrupted round, `regroup` is called first.
        """
        round, broken = checked_rounds(round), self._boundary.left
        with self._boundary.crossing("load", anew=True):
            if broken and not self._stopped():
                self._regroup("")
            self._boundary.last = round  # the round that errors name
            shared = ray.put(dict(states))
            self._of_workers("load", lambda worker: worker.load.remote(shared))
            self._of_coordinator("resume", lambda coordinator: coordinator.resume_at.remote(round))
            self.history.restored(round)
            self._boundary.arrive(round)

    def regroup(self, stalled: str = "") -> None:
        """Bring the run back to the state before its first round, after a failure.

        Waits until Ray has started the dead actors again. Workers that live keep their processes. All make their
        players and oracles again, and open channels of the next generation.
        stalled: name of an actor to kill first; empty for none. Actors that do not leave their round are killed too.
        Raises RoundError if an actor does not come back, WorkerDied if one dies meanwhile.
        """
        with self._boundary.crossing("regroup", anew=True):
            self._ask("regroup", lambda: self._regroup(stalled))
            self._broken = False
            self._boundary.arrive(0)

    def save(self, folder: Place, labels: Labels | None = None) -> None:
        """Write a checkpoint of all states into `folder`. The folder is made if it does not exist."""
        self._boundary.check("be saved")
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
        generation, names = self._of_coordinator("copy the states", lambda each: each.cut.remote())
        labels, assignment = labels or Labels(), self.assignment
        origin = assignment.grammar.signature, round, assignment.seed, names
        told = {"generation": generation, "experiment": labels.experiment, "metrics": labels.metrics}
        self._saving = in_background(lambda: self._write(folder, partial(Manifest, *origin, **told)))
        return self._saving

    def _write(self, folder: Folder, manifest: Callable[..., Manifest]) -> Manifest:
        """Let the workers write the states that they copied. Write those that they could not write, and the manifest.

        manifest: a function that makes the manifest, from the argument `files`.
        """
        sign = f"{uuid.uuid4().hex}.sign"
        folder.write(sign, b"")
        try:
            files, others = self._of_coordinator("save", lambda each: each.save.remote(folder.address, sign))
        finally:
            folder.discard(sign)
        growing = {oracle.name for oracle in self.assignment.grammar.query.oracles}
        written = manifest(files={**files, **self._writer.write(folder, others, growing)})
        write_manifest(folder, written)
        return written

    def sites(self) -> Mapping[str, Any]:  # Any: `transport.route.Site`, from a folder that this one does not import
        """Return the machine and device of each worker, by name."""
        return self._of_coordinator("return its sites", lambda coordinator: coordinator.sites.remote())

    def status(self) -> dict[str, Any]:  # Any: JSON-able
        """Return the status of the run as JSON: name, grammar, next round, and the current action of each worker.

        May be called while rounds are played.
        """
        return self._of_coordinator("return its status", lambda coordinator: coordinator.status.remote())

    @property
    def ending(self) -> bool:
        """Whether another process has asked the run to end."""
        return self._of_coordinator("return whether it is to end", lambda coordinator: coordinator.ending.remote())

    def close(self) -> None:
        """Stop all actors of this run, or give workers and coordinator back to the pool. May be called twice."""
        self._boundary.end()
        if self._saving is not None:
            with contextlib.suppress(TimeoutError):
                self._saving.exception(CLOSING)
        workers, self.workers = list(self.workers.values()), {}
        coordinator, self._coordinator = self._coordinator, None
        if not ray.is_initialized() or not self._head.answers():
            return  # without its head, Ray answers no request to end an actor; the actors end with this process
        with contextlib.suppress(RayError):
            ray.get([worker.close.remote() for worker in workers], timeout=5)
        if self._pool is not None and coordinator is not None and not self._broken and not self._boundary.left:
            self._pool.give(workers, coordinator)
        else:
            for each in [*workers, *([coordinator] if coordinator else [])]:
                ray.kill(each)
        if self._reservation is not None:
            self._reservation.release()
        forget(self.run)

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
            self._of_coordinator("compare versions", lambda each: each.compare.remote(driver, self.workers))
        self._enlist()

    def _named(self, actor: Any, name: str, options: dict[str, Any]) -> Any:  # Any: Ray's classes, options and handles
        try:
            return actor.options(name=name, namespace=self.namespace, **options).remote()
        except ActorAlreadyExistsError:
            raise taken(self.run) from None  # by a run that started at the same time

    def _enlist(self) -> None:
        enlisted = self.assignment, self.run, self.workers, *self._connecting, self.history.open_generation()
        try:
            self._of_coordinator("start", lambda coordinator: coordinator.enlist.remote(*enlisted))
        except AntiphonError:
            raise
        except Exception as error:  # pickling the code of a user may raise anything, and importing it too
            self._refuse_unreadable()
            told = f"{type(error).__name__}: {unstopped(error).partition(chr(10))[0]}"
            raise RoundError(f"the coordinator cannot start the run: {told}. See the cause of this error.") from error

    def _refuse_unreadable(self) -> None:
        """Raise ExperimentError if code of the assignment cannot be pickled, or the coordinator cannot import it."""
        parts = pickled(self.assignment)
        if found := self._of_coordinator("import code", lambda coordinator: coordinator.unreadable.remote(parts)):
            machine, _ = self._of_coordinator("return its address", lambda coordinator: coordinator.address.remote())
            raise not_importable(f"the {COORDINATOR}", machine, found)

    def _regroup(self, stalled: str) -> None:
        actors = {**self.workers, COORDINATOR: self._coordinator}
        if stalled:
            ray.kill(actors[stalled], no_restart=False)
        calls = {name: partial(_left, worker) for name, worker in self.workers.items()}
        calls[COORDINATOR] = self._coordinator.address.remote
        self._playing = None
        revive(actors, calls, min(self._connecting[1], CLOSING), self._head.check)
        if self._saving is not None:
            self._saving.exception()  # it must end before the workers copy other states
        self._enlist()

    def _finished(self) -> tuple[Played, KeyboardInterrupt | None]:
        """Return the result of a batch, and the KeyboardInterrupt that ended it early, if there was one."""
        call = self._playing
        try:
            return self._answer(call), None
        except KeyboardInterrupt as interrupt:
            if not python_interrupts():
                raise  # it comes from a handler of the user, which aborts at once
            return self._finish(call), interrupt

    def _finish(self, call: Any) -> Any:  # Any: Ray's reference, and its result
        """End a batch of rounds after the round that the workers play now, and return its result.

        call: Ray's reference to the batch. The request to end a batch is sent only once.
        """
        self._finishing = self._finishing or self._coordinator.finish.remote(self._batches)
        self._answer(self._finishing)
        return self._answer(call)

    def _answer(self, call: Any) -> Any:  # Any: Ray's reference to a call of the coordinator, and its result
        actors = {COORDINATOR: self._coordinator}
        return answered({COORDINATOR: call}, actors, self._patience, self._head.check)[COORDINATOR]

    def _of_workers(self, what: str, call: Callable[[Any], Any]) -> dict[str, Any]:  # Any: handle, reference, result
        calls = {name: call(worker) for name, worker in self.workers.items()}
        return self._ask(what, lambda: answered(calls, self.workers, self._patience, self._head.check))

    def _of_coordinator(self, what: str, call: Callable[[Any], Any]) -> Any:  # Any: handle, reference, result
        return self._ask(what, lambda: self._answer(call(self._coordinator)))

    def _stopped(self) -> bool:
        """End the interrupted batch of rounds, if there is one.

        Return whether all workers are then at the same round boundary.
        """
        try:
            if self._playing is not None:
                self._finish(self._playing)
        except (RayError, WorkerDied):
            return False
        return True

    def _ask(self, what: str, call: Callable[[], Any]) -> Any:  # Any: the results of different calls
        try:
            return call()
        except RayTaskError as error:
            self._broken = True
            if isinstance(error.cause, Exception):
                raise error.cause from None
            raise RoundError(f"the coordinator failed to {what}: {unstopped(error)}. Look at its traceback.") from error
        except AntiphonError as error:
            self._broken = True
            error.round = self._boundary.last if error.round < 0 else error.round
            raise


def _left(worker: Any) -> Any:  # Any: Ray's handle and reference
    worker.close.remote()
    return worker.rest.remote()
