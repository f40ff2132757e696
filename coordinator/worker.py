"""The worker: a Ray actor that hosts players and oracles and plays many rounds in one call."""

import os

import ray
import torch

from antiphon.coordinator.brake import Brake
from antiphon.coordinator.checkpoint import Cut, FileEntry, Writer, cut
from antiphon.coordinator.connection import Connection, connect
from antiphon.coordinator.devices import enter, look, settle
from antiphon.coordinator.failures import Standing
from antiphon.coordinator.hosted import Hosted
from antiphon.coordinator.importable import unreadable
from antiphon.coordinator.in_flight import RoundsInFlight
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.schedule import project
from antiphon.coordinator.plan.steps import Collect, Contribute, Receive, Send, describe
from antiphon.coordinator.program import LocalProgram
from antiphon.coordinator.round_file import round_file, shared_round
from antiphon.coordinator.sharding import join_group, leave_group, refuse_shared_devices
from antiphon.coordinator.statistics import WorkerStatistics
from antiphon.coordinator.storage import folder_at
from antiphon.coordinator.versions import Installed, versions
from antiphon.errors import NonfiniteError, ProtocolError, RoundError, WorkerDied
from antiphon.grammars.oracle import State
from antiphon.transport.channel import Channel
from antiphon.transport.object_store import Mailbox
from antiphon.transport.route import Site

CONCURRENCY = {"play": 1, "mail": 1, "control": 2, "save": 1}
"""Threads per concurrency group. While rounds are played, control calls and mail are served and states are written."""


class Worker:
    """Plays one assignment after another, so that a resident pool of workers can serve many runs.

    Call `assign`, then `open`, then `play` any number of times. `close` releases everything but the process.
    """

    def __init__(self) -> None:
        self._hosted: Hosted | None = None
        self._program: LocalProgram | RoundsInFlight | None = None
        self._channel: Channel | None = None
        self._mailbox: Mailbox | None = None
        self._brake = Brake()
        self._actions: tuple = ()
        self._assignment: Assignment | None = None
        self._name, self._generation = "", 0
        self._cut: Cut = {}
        self._writer = Writer()

    @ray.method(concurrency_group="control")
    def address(self) -> tuple[str, int]:
        """Return this worker's host address and process id."""
        return _host(), os.getpid()

    @ray.method(concurrency_group="control")
    def versions(self) -> Installed:
        """Return this worker's host address and its versions of Python, torch and antiphon, as plain data."""
        return _host(), versions()

    @ray.method(concurrency_group="control")
    def unreadable(self, parts: dict[str, bytes]) -> str:
        """Return which code of an assignment cannot be imported in this process, and why; "" if all can be."""
        return unreadable(parts)

    @ray.method(concurrency_group="play")
    def assign(self, assignment: Assignment, name: str, generation: int = 1) -> Site:
        """Make the players, clones and oracles of this worker on the device that Ray assigned.

        generation: number of the channels that `open` will open.
        Returns the worker's machine and device. Raises the error of a player or oracle that cannot be made, with its
        name, and PlacementError if torch does not see the assigned device.
        """
        torch.set_num_threads(assignment.threads)
        assignment.state.enter()
        self._release()
        self._brake = Brake()
        self._assignment, self._name, self._generation = assignment, name, generation
        device, site = settle(name, look(), assignment.placement.logical_gpus)
        enter(device)
        self._hosted = Hosted(assignment, name, device)
        self._actions = project(assignment.schedule, name)
        self._mailbox = Mailbox(name, assignment.schedule.carried_by(name))
        return site

    @ray.method(concurrency_group="play")
    def open(self, connection: Connection) -> None:
        """Open this worker's channel to the other workers.

        Blocks until all of them are connected, up to the deadline.
        """
        if self._assignment is None or self._hosted is None or self._mailbox is None:
            raise self._unassigned("open")
        group = self._hosted.shared
        if group:
            refuse_shared_devices(group, connection.sites)
            self._hosted.shard(join_group(connection, group, self._name, _host(), self._hosted.device))
        own = self._name, _host(), self._mailbox, self._hosted.device
        self._channel = connect(connection, self._assignment.schedule, *own)
        self._channel.open()
        kind = RoundsInFlight if self._assignment.schedule.in_flight > 1 else LocalProgram
        self._program = kind(self._assignment, self._name, self._actions, self._hosted, self._channel)
        self._program.noted = shared_round(round_file(ray.get_runtime_context().current_actor))

    @ray.method(concurrency_group="play")
    def play(self, first: int, rounds: int, batch: int) -> WorkerStatistics:
        """Play this worker's steps of `rounds` rounds, beginning with round `first`. Returns the worker's statistics.

        batch: number of this batch of rounds, also given to `hold` and `release`.
        """
        if self._program is None or self._assignment is None:
            raise self._unassigned("play")
        torch.set_num_threads(self._assignment.threads)
        self._assignment.state.enter()
        self._brake.begin(batch)
        return self._program.play(first, rounds, self._brake)

    @ray.method(concurrency_group="control")
    def hold(self, batch: int) -> int:
        """Hold this worker: begin no further round of this batch until `release`.

        Returns how many rounds of the run this worker has begun.
        """
        return self._brake.hold(batch)

    @ray.method(concurrency_group="control")
    def release(self, batch: int, end: int) -> None:
        """Let the worker play on after `hold`, and end this batch of rounds before round `end`."""
        self._brake.release(batch, end)

    @ray.method(concurrency_group="control")
    def where(self) -> Standing:
        """Return the round and the action that this worker plays now."""
        if self._program is None:
            return Standing(-1, "idle")
        round, position = self._program.cursor.at
        if round < 0 or position < 0:
            return Standing(round, "idle")
        action = self._actions[position]
        awaits = action.edge.source if isinstance(action, Receive) else ""
        at_work = not isinstance(action, Send | Receive | Contribute | Collect)
        return Standing(round, describe(action), awaits, at_work)

    @ray.method(concurrency_group="control")
    def first_wrong(self) -> NonfiniteError | None:
        """Return the first value of the current round that is NaN or infinite on this worker; None if there is none."""
        program, assignment = self._program, self._assignment
        if program is None or assignment is None or assignment.on_nonfinite != "fail":
            return None
        return program.finite.search(program.cursor.at[0])

    @ray.method(concurrency_group="mail")
    def deliver(self, edge: int, frame: bytes, generation: int | None = None) -> None:
        """Put a frame (the bytes of one message) from a peer into the mailbox. Only for transport `object-store`.

        generation: number of the sender's channels. A frame of another generation was sent before a recovery, and is
        dropped: Ray may deliver it late.
        """
        if self._mailbox is None or generation not in (None, self._generation):
            return
        try:
            self._mailbox.put(edge, frame)
        except ProtocolError as error:
            self._mailbox.fail(error)  # no caller reads this call's result: the reader of mail gets the error

    @ray.method(concurrency_group="play")
    def states(self, learned: bool = False) -> dict[str, State]:
        """Return the states of this worker's players, agents, clones and oracles, by name.

        learned: see `Executor.states`.
        """
        return self._hosts().state(learned)

    @ray.method(concurrency_group="play")
    def cut(self) -> tuple[str, ...]:
        """Copy the states of this worker, for `save`, and return their names.

        Raises ExperimentError if a state cannot be saved.
        """
        self._cut = cut(self._hosts().state())
        return tuple(self._cut)

    @ray.method(concurrency_group="save")
    def save(self, address: str, sign: str, growing: frozenset[str]) -> tuple[dict[str, FileEntry], Cut]:
        """Write the states that `cut` copied into a checkpoint's folder, while rounds are played.

        If the folder has no file `sign`, this machine does not share the folder with the driver, and nothing is
        written. growing: states that are written in blocks.
        Returns size and SHA-256 of each written file, and the copies that were not written. Raises RoundError if the
        folder cannot be written to.
        """
        self._hosts()
        states, self._cut = self._cut, {}
        if not self._shares(address, sign):
            return {}, states
        try:
            return self._writer.write(folder_at(address), states, growing), {}
        except OSError as error:
            raise RoundError(
                f"{address!r} cannot be written: {error.strerror or error}. Expected room and permission on "
                f"the machine of worker {self._name!r}, {_host()}; free some space, then resume the run.",
                worker=self._name,
            ) from error

    @ray.method(concurrency_group="play")
    def load(self, states: dict[str, State]) -> None:
        """Load the states of this worker's objects, by name. The states of other objects are ignored."""
        self._hosts().load(states)

    @ray.method(concurrency_group="play")
    def rest(self) -> None:
        """Wait until this worker plays no round and makes no object."""

    @ray.method(concurrency_group="control")
    def close(self) -> None:
        """Close the channel and the oracles. May be called twice, and while a round hangs."""
        self._release()

    def _shares(self, address: str, sign: str) -> bool:
        try:
            return sign in folder_at(address).names()
        except OSError:
            return False

    def _release(self) -> None:
        self._brake.abandon()
        if self._channel is not None:
            self._channel.close()
        if self._hosted is not None:
            self._hosted.close()
        leave_group()
        self._hosted = self._program = self._channel = self._mailbox = self._assignment = None

    def _hosts(self) -> Hosted:
        if self._hosted is None:
            raise self._unassigned("be saved or restored")
        return self._hosted

    def _unassigned(self, what: str) -> WorkerDied:
        return WorkerDied(
            f"worker {self._name or '(unnamed)'!r} died and was started again: it was asked to {what} and has no "
            "players. Expected `assign` first, then `open`, then `play`. Go through an executor, which restores it."
        )


def _host() -> str:
    return ray.util.get_node_ip_address()
