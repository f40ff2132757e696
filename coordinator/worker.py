"""The worker: a Ray actor that hosts players and oracles and plays its part of many rounds a call."""

import os
from pathlib import Path

import ray
import torch

from antiphon.agents.shards import part
from antiphon.coordinator.brake import Brake
from antiphon.coordinator.checkpoint import load_states, save_states
from antiphon.coordinator.connection import Connection, connect
from antiphon.coordinator.devices import enter, look, settle
from antiphon.coordinator.failures import Standing
from antiphon.coordinator.hosted import Hosted
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.schedule import Collect, Contribute, Receive, Send, describe_action, project
from antiphon.coordinator.program import LocalProgram, WorkerStatistics
from antiphon.coordinator.sharding import join_group, leave_group, refuse_shared_devices
from antiphon.coordinator.versions import Installed, versions
from antiphon.errors import ProtocolError
from antiphon.grammars.oracle import State
from antiphon.transport.channel import Channel
from antiphon.transport.object_store import Mailbox
from antiphon.transport.route import Site

CONCURRENCY = {"play": 1, "mail": 1, "control": 2}
"""Threads per concurrency group: control calls and arriving mail are served while rounds are played."""


class Worker:
    """Loads one program after another, so that a resident pool of workers can serve many runs.

    `assign`, then `open`, then `play` as often as wished; `close` lets go of everything but the process.
    """

    def __init__(self) -> None:
        self._hosted: Hosted | None = None
        self._program: LocalProgram | None = None
        self._channel: Channel | None = None
        self._mailbox: Mailbox | None = None
        self._brake = Brake()
        self._actions: tuple = ()
        self._assignment: Assignment | None = None
        self._name = ""

    @ray.method(concurrency_group="control")
    def address(self) -> tuple[str, int]:
        """This worker's host address and process id."""
        return _host(), os.getpid()

    @ray.method(concurrency_group="control")
    def versions(self) -> Installed:
        """This worker's host address, and the versions of what it plays with, as plain data."""
        return _host(), versions()

    @ray.method(concurrency_group="play")
    def assign(self, assignment: Assignment, name: str) -> Site:
        """Make everyone who lives here, on the device that Ray gave; returns where that is.

        Raises what their factories raise, with their names; PlacementError when torch does not see that device.
        """
        torch.set_num_threads(assignment.threads)
        assignment.state.enter()
        self._release()
        self._brake = Brake()
        self._assignment, self._name = assignment, name
        device, site = settle(name, look(), assignment.placement.logical_gpus)
        enter(device)
        self._hosted = Hosted(assignment, name, device)
        self._actions = project(assignment.schedule, name)
        self._mailbox = Mailbox(name, assignment.schedule.carried_by(name))
        return site

    @ray.method(concurrency_group="play")
    def open(self, connection: Connection) -> None:
        """Meet the peers of this generation. Blocks until all of them are there, or the deadline."""
        if self._assignment is None or self._hosted is None or self._mailbox is None:
            raise self._unassigned("open")
        group = self._hosted.shared
        if group:
            refuse_shared_devices(group, connection.sites)
            self._hosted.shard(join_group(connection, group, self._name, _host(), self._hosted.device))
        own = self._name, _host(), self._mailbox, self._hosted.device
        self._channel = connect(connection, self._assignment.schedule, *own)
        self._channel.open()
        self._program = LocalProgram(self._assignment, self._name, self._actions, self._hosted, self._channel)

    @ray.method(concurrency_group="play")
    def play(self, first: int, rounds: int, batch: int) -> WorkerStatistics:
        """Play rounds; see `LocalProgram.play`. batch: its number, for `hold`."""
        if self._program is None or self._assignment is None:
            raise self._unassigned("play")
        torch.set_num_threads(self._assignment.threads)
        self._assignment.state.enter()
        self._brake.begin(batch)
        return self._program.play(first, rounds, self._brake)

    @ray.method(concurrency_group="control")
    def hold(self, batch: int) -> int:
        """Begin no other round of this batch until `release`; returns how many rounds of the run were begun."""
        return self._brake.hold(batch)

    @ray.method(concurrency_group="control")
    def release(self, batch: int, end: int) -> None:
        """End this batch before round `end`."""
        self._brake.release(batch, end)

    @ray.method(concurrency_group="control")
    def where(self) -> Standing:
        """What this worker stands at."""
        if self._program is None:
            return Standing(-1, "idle")
        round, position = self._program.cursor
        action = self._actions[position]
        awaits = action.edge.source if isinstance(action, Receive) else ""
        at_work = not isinstance(action, Send | Receive | Contribute | Collect)
        return Standing(round, describe_action(action), awaits, at_work)

    @ray.method(concurrency_group="mail")
    def deliver(self, edge: int, frame: bytes) -> None:
        """A peer's frame arrives (transport `object-store`)."""
        if self._mailbox is None:
            return  # of a run that is over
        try:
            self._mailbox.put(edge, frame)
        except ProtocolError as error:
            self._mailbox.fail(error)  # nobody waits for this call's result; whoever waits for mail is to know

    @ray.method(concurrency_group="play")
    def held(self) -> dict[str, int]:
        """How many numbers each player's parameters have here: of a sharded one, its part's alone."""
        players = self._staged().players.items()
        return {name: sum(part(each).numel() for each in player.parameters) for name, player in players}

    @ray.method(concurrency_group="play")
    def states(self) -> dict[str, State]:
        """The state of everyone here."""
        return self._staged().state()

    @ray.method(concurrency_group="play")
    def save(self, folder: str, sign: str) -> tuple[str, ...] | dict[str, State]:
        """Write the state of everyone here into a checkpoint's folder; returns their names.

        Where the file `sign` is not in that folder, this machine does not share it: returns the states instead.
        """
        states = self._staged().state()
        return save_states(Path(folder), states) if self._shares(Path(folder) / sign) else states

    @ray.method(concurrency_group="play")
    def load(self, states: dict[str, State]) -> None:
        """Continue from states."""
        self._staged().load(states)

    @ray.method(concurrency_group="play")
    def restore(self, folder: str) -> None:
        """Continue from a checkpoint's folder."""
        hosted = self._staged()
        hosted.load(load_states(Path(folder), hosted.names))

    @ray.method(concurrency_group="control")
    def close(self) -> None:
        """Close channel and oracles. May be called twice, and while a round is stuck."""
        self._release()

    def _shares(self, path: Path) -> bool:
        return path.exists()

    def _release(self) -> None:
        self._brake.abandon()
        if self._channel is not None:
            self._channel.close()
        if self._hosted is not None:
            self._hosted.close()
        leave_group()
        self._hosted = self._program = self._channel = self._mailbox = self._assignment = None

    def _staged(self) -> Hosted:
        if self._hosted is None:
            raise self._unassigned("be saved or restored")
        return self._hosted

    def _unassigned(self, what: str) -> ProtocolError:
        return ProtocolError(
            f"worker {self._name or '(unnamed)'!r} was asked to {what} before it had an assignment; expected `assign`, "
            "then `open`, then `play`. Go through the coordinator."
        )


def _host() -> str:
    return ray.util.get_node_ip_address()
