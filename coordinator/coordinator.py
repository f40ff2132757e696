"""The coordinator: a Ray actor that counts the rounds and starts every batch of rounds. It handles no tensor."""

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray._private.worker import global_worker

from antiphon.coordinator.audit import audit
from antiphon.coordinator.checkpoint import FileEntry
from antiphon.coordinator.connection import Checksum, Connection, Transport
from antiphon.coordinator.ending import is_asked
from antiphon.coordinator.executor import Played
from antiphon.coordinator.failures import Progress, gather, stand
from antiphon.coordinator.importable import not_importable, pickled, unreadable
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.verify import verify
from antiphon.coordinator.versions import Installed, check_versions, versions
from antiphon.errors import RoundError, WorkerDied
from antiphon.transport.message import Session
from antiphon.transport.rendezvous import StoreServer
from antiphon.transport.route import Site

CONCURRENCY = {"play": 1, "control": 2, "save": 1}


class Coordinator:
    """Verifies a run's schedule, starts every batch of rounds on all workers at once, and audits each batch afterwards.

    A coordinator can serve several runs, one after the other. Each call of `enlist` begins a run.
    """

    def __init__(self) -> None:
        self._assignment: Assignment | None = None
        self._run = ""
        self._workers: Mapping[str, Any] = {}  # Any: Ray's actor handles have no common type
        self._hosts: Mapping[str, str] = {}
        self._round, self._generation, self._deadline = 0, 0, 0.0
        self._sites: Mapping[str, Site] = {}
        self._store: StoreServer | None = None

    @ray.method(concurrency_group="play")
    def compare(self, driver: Installed, workers: Mapping[str, Any]) -> None:  # Any: actor handles
        """Raise VersionError unless driver and workers have the coordinator's versions of antiphon, torch and Python.

        driver: address and versions of the driver. workers: actor handles, by name. The workers return their versions
        as plain data, because another version may be unable to read other objects.
        """
        calls = {name: worker.versions.remote() for name, worker in workers.items()}
        found = gather(calls, workers, "return its versions", 120.0)
        others = {f"worker {name!r}": found[name] for name in workers}
        check_versions((ray.util.get_node_ip_address(), versions()), {"the driver": driver, **others})

    @ray.method(concurrency_group="play")
    def enlist(
        self,
        assignment: Assignment,
        run: str,
        workers: Mapping[str, Any],  # Any: actor handles
        transport: Transport,
        deadline: float,
        checksum: Checksum,
        generation: int,
    ) -> None:
        """Begin a run: verify its schedule, send the assignment to the workers, and connect the workers to each other.

        run: name of the run. workers: actor handles, by name. deadline: seconds that one message may take. A call to a
        worker, other than `play`, may take 120 seconds. checksum: which messages carry a CRC32C. generation: number of
        the channels, from the run's history; no number is used twice in a run.
        """
        verify(assignment.schedule)
        self._assignment, self._run, self._workers, self._round = assignment, run, workers, 0
        self._hosts, self._generation, self._deadline = {}, generation, deadline
        secret = secrets.token_bytes(32)
        session = Session(assignment.schedule.signature, generation, deadline, secret, checksum)
        located = self._all("return its address", lambda _, worker: worker.address.remote())
        self._hosts = {name: host for name, (host, _) in located.items()}
        # One reference for all workers, so that Ray serializes the assignment once.
        shared = ray.put(assignment)
        try:
            sites = self._all("assign", lambda name, worker: worker.assign.remote(shared, name, generation))
        except RoundError as error:
            self._refuse_unreadable(error)
            raise
        peers = workers if transport is Transport.OBJECT_STORE else {}
        self._sites = sites
        self._store = _store()  # a new one, so that no value of an older generation can be read
        connection = ray.put(Connection(session, run, transport, self._store.address, peers, sites))
        self._all("connect to its peers", lambda _, worker: worker.open.remote(connection))
        self._store.refuse()

    @ray.method(concurrency_group="control")
    def unreadable(self, parts: dict[str, bytes]) -> str:
        """Return which code of an assignment cannot be imported in this process, and why; "" if all can be."""
        return unreadable(parts)

    @ray.method(concurrency_group="play")
    def play(self, rounds: int, batch: int) -> Played:
        """Play the next rounds on all workers. If several workers fail, raises only the most likely cause.

        batch: number that identifies this batch of rounds. A call of `finish` with this number ends the batch early.
        `Played.rounds` of the result is the number of rounds that were played.
        """
        first, schedule = self._round, self._enlisted.schedule
        # This call has no deadline, because every message inside it has one, and the watch finds a worker that stalls.
        statistics = self._all("play", lambda _, worker: worker.play.remote(first, rounds, batch), None)
        rounds = min(worker_statistics.rounds for worker_statistics in statistics.values())
        audit(schedule, statistics.values(), first, rounds)
        self._round += rounds
        return Played.of(statistics.values(), self._round, rounds)

    @ray.method(concurrency_group="control")
    def finish(self, batch: int) -> None:
        """End a batch of rounds early.

        All workers stop after the same round: the latest round that any of them has begun.
        batch: the number that identifies this batch of rounds.
        """
        begun = self._all("hold", lambda _, worker: worker.hold.remote(batch))
        end = max(begun.values())
        self._all("stop at the end of its round", lambda _, worker: worker.release.remote(batch, end))

    @ray.method(concurrency_group="play")
    def cut(self) -> tuple[int, tuple[str, ...]]:
        """Let all workers copy their states, for `save`. Returns the generation of the channels, and all names."""
        names = self._all("copy its state", lambda _, worker: worker.cut.remote()).values()
        return self._generation, tuple(name for each in names for name in each)

    @ray.method(concurrency_group="save")
    def save(self, address: str, sign: str) -> tuple[dict[str, FileEntry], dict[str, Any]]:  # Any: as in `Cut`
        """Let each worker that finds the file `sign` in the folder at `address` write its own states there.

        Returns size and SHA-256 of each file, and the states of the workers that have no access to the folder. The
        caller writes these states, and then the manifest.
        """
        growing = frozenset(oracle.name for oracle in self._enlisted.grammar.query.oracles)
        done = self._all("save its state", lambda _, worker: worker.save.remote(address, sign, growing)).values()
        files = {file: entry for written, _ in done for file, entry in written.items()}
        return files, {name: state for _, left in done for name, state in left.items()}

    @ray.method(concurrency_group="play")
    def resume_at(self, round: int) -> None:
        """Set the round counter, after all workers have loaded their states. round: the next round to play."""
        self._round = round

    @ray.method(concurrency_group="control")
    def address(self) -> tuple[str, int]:
        """Return the coordinator's host address and process id. The driver also asks it whether the process runs."""
        return ray.util.get_node_ip_address(), os.getpid()

    @ray.method(concurrency_group="control")
    def sites(self) -> Mapping[str, Site]:
        """Return the machine and device of each worker, by name."""
        return self._sites

    @ray.method(concurrency_group="control")
    def ending(self) -> bool:
        """Return whether another process has asked this run to end."""
        return is_asked(self._run)

    @ray.method(concurrency_group="control")
    def status(self) -> dict[str, Any]:  # Any: JSON
        """Return the status of the run as JSON: name, grammar, next round, and the current action of each worker.

        May be called while rounds are played. The result is plain JSON, so its reader does not need antiphon. A worker
        that does not answer has an `error` instead of an action.
        """
        grammar = self._assignment.grammar.name if self._assignment else ""
        standing = stand(self._workers, seconds=3.0)
        at = {"run": self._run, "grammar": grammar, "generation": self._generation, "round": self._round}
        return {**at, "ending": is_asked(self._run), "workers": standing}

    def _refuse_unreadable(self, error: RoundError) -> None:
        """Raise ExperimentError if the worker that failed with `error` cannot import the code of the assignment."""
        if isinstance(error, WorkerDied) or not error.worker:
            return
        one, parts = {error.worker: self._workers[error.worker]}, pickled(self._enlisted)
        found = gather({name: each.unreadable.remote(parts) for name, each in one.items()}, one, "import code", 120.0)
        if found[error.worker]:
            raise not_importable(f"worker {error.worker!r}", self._hosts[error.worker], found[error.worker])

    @property
    def _enlisted(self) -> Assignment:
        if self._assignment is None:
            raise WorkerDied(
                "the coordinator died and was started again: it was asked to play before a run was enlisted. Expected "
                "`enlist` first. Go through an executor, which restores it.",
                worker="coordinator",
            )
        return self._assignment

    def _all(self, what: str, call: Any, deadline: float | None = 120.0) -> dict[str, Any]:  # Any: Ray's references
        assert self._enlisted  # raises WorkerDied: a coordinator that was started again has no workers to ask
        calls = {name: call(name, worker) for name, worker in self._workers.items()}
        # The deadlines of messages come first, because their errors tell more than the watch.
        watch = Progress(self._workers, self._hosts, 2 * self._deadline)
        return gather(calls, self._workers, what, deadline, self._hosts, watch)


def _store() -> StoreServer:
    """Return a new store for the workers. If Ray listens on the loopback, it is a file in Ray's private folder."""
    host = ray.util.get_node_ip_address()
    if host != "127.0.0.1":
        return StoreServer(host)
    node: Any = global_worker.node  # Any: its type is optional
    return StoreServer(host, Path(tempfile.mkdtemp(dir=node.get_session_dir_path())))
