"""The executor "inline": it plays the steps of all workers in one process, in the schedule's order, without Ray."""

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias, final

import torch
from torch import Tensor, nn

from antiphon.coordinator.audit import audit
from antiphon.coordinator.background import in_background
from antiphon.coordinator.boundary import Boundary, Deferred, checked_rounds
from antiphon.coordinator.checkpoint import Cut, Labels, Manifest, Writer, clear, cut, write_manifest
from antiphon.coordinator.devices import CPU
from antiphon.coordinator.executor import Played
from antiphon.coordinator.hosted import Hosted
from antiphon.coordinator.in_flight import RoundsInFlight, Turns
from antiphon.coordinator.nonfinite import RoundCheck
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.schedule import project
from antiphon.coordinator.plan.steps import Receive, Send, Slot, Transfer
from antiphon.coordinator.plan.verify import verify
from antiphon.coordinator.program import LocalProgram
from antiphon.coordinator.storage import Folder, Place, folder_at
from antiphon.grammars.oracle import State
from antiphon.grammars.seeds import forked
from antiphon.grammars.when import Agenda
from antiphon.transport.channel import Channel
from antiphon.transport.local import Exchange, LocalChannel
from antiphon.transport.message import Session
from antiphon.transport.staged import onto

Watch: TypeAlias = Callable[[int, Mapping[Slot, Tensor]], None]


@final
class InlineExecutor:
    """Plays the rounds of all workers in the process and thread of the caller.

    If the placement has several workers, messages between them go through the channel "local". During a call, the
    executor sets the assignment's number of threads and torch settings, and uses its own global random streams.
    Afterwards it restores those of the caller.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        deadline: float = 30.0,
        watch: Watch | None = None,
        device: torch.device = CPU,
    ) -> None:
        """Make the players, oracles, operators and channels of all workers.

        watch: a function that is called at the end of each round. Its arguments are the round, and all values of the
        round by slot; it must not change them. deadline: seconds to wait for a message. device: device of the players,
        operators and losses; oracles stay on the CPU. Messages between workers go through host memory.
        """
        verify(assignment.schedule)
        self.assignment, self._watch = assignment, watch
        self._boundary, self._deadline, self._device, self._generation = Boundary(), deadline, device, 0
        self._writer = Writer()
        self._saving: Future[Manifest] | None = None
        self._hosted: dict[str, Hosted] = {}
        self._channels: list[Channel] = []
        self._begin()

    @property
    def round(self) -> int:
        """The number of the next round. Raises ProtocolError while a round is played, or if the last round failed."""
        return self._boundary.round

    def play(self, rounds: int) -> Played:
        """Play the next `rounds` rounds, and return their losses and statistics. Blocks.

        After the first Ctrl-C, the current round is completed, and then KeyboardInterrupt is raised. After a second
        Ctrl-C, KeyboardInterrupt is raised at once.
        Raises the error of a step, with the worker's name and the round as attributes. If a round was not completed,
        `round`, `play`, `states` and `save` raise ProtocolError until `load` is called.
        """
        rounds = checked_rounds(rounds)
        torch_alone = all(hosted.torch_alone for hosted in self._hosted.values())
        with self._boundary.crossing("play"), Deferred() as interrupt, self._own_process(torch_alone):
            played = self._play(rounds, interrupt)
            self._boundary.arrive(played.round)
        return played

    def _play(self, rounds: int, interrupt: Deferred) -> Played:
        first = self._boundary.last
        for program in self._programs:
            program.begin()
        for each in self._flights:
            each.begin()
        if self._flights:
            self._play_overlapping(first, rounds, interrupt)
            return self._played(first)
        check = RoundCheck([program.finite for program in self._programs])
        for round in range(first, first + rounds):
            with torch.no_grad():
                check.play(self._agenda.at(round), round)
                check.settle(round)
            if self._watch is not None:
                self._watch(round, dict(ChainMap(*(program.held() for program in self._programs))))
            for program in self._programs:
                program.finish_round()
            if interrupt.asked:
                break
        return self._played(first)

    def _play_overlapping(self, first: int, rounds: int, interrupt: Deferred) -> None:
        for due, ended in self._turns.play(first, rounds, lambda round: round == first or not interrupt.asked):
            for (flight, position), round in due:
                with torch.no_grad():
                    self._check(round).play((flight.entry(position, round),), round)
            if ended is None:
                continue
            self._check(ended).settle(ended)
            if self._watch is not None:
                self._watch(ended, dict(ChainMap(*(flight.held(ended) for flight in self._flights))))
            for flight in self._flights:
                flight.finish_round(ended)

    def _check(self, round: int) -> RoundCheck:
        return RoundCheck([flight.finite_of(round) for flight in self._flights])

    def _played(self, first: int) -> Played:
        """End the batch of rounds that began with round `first`: audit its statistics, and return the result."""
        statistics = [program.end() for program in (*self._programs, *self._flights)]
        rounds = statistics[0].rounds
        audit(self.assignment.schedule, statistics, first, rounds)
        return Played.of(statistics, first + rounds, rounds)

    def states(self, learned: bool = False) -> Mapping[str, State]:
        """Return the state of every player, agent, clone and oracle, by name. learned: see `Executor.states`."""
        self._boundary.check("return its states")
        with self._own_process():
            return {name: state for hosted in self._hosted.values() for name, state in hosted.state(learned).items()}

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the torch module of each player and clone, by name. The caller must not change the modules."""
        found = [(hosted.players | hosted.clones).items() for hosted in self._hosted.values()]
        return {name: each.module for items in found for name, each in items}

    def load(self, states: Mapping[str, State], round: int) -> None:
        """Load states that `states` returned, and continue with round `round`. Allowed after a failed round, too."""
        round = checked_rounds(round)
        broken = self._boundary.left
        with self._boundary.crossing("load", anew=True):
            if broken:
                self._release()
                self._begin()
            with self._own_process():
                for hosted in self._hosted.values():
                    hosted.load(states)
            self._boundary.arrive(round)

    def save(self, folder: Place, labels: Labels | None = None) -> None:
        """Write a checkpoint into `folder`: the state of every player, agent, clone and oracle, then the manifest."""
        self._boundary.check("save a checkpoint")  # before the folder is made
        folder = folder_at(folder)
        folder.make(above=True)
        self.begin_save(folder, labels).result()

    def begin_save(self, folder: Place, labels: Labels | None = None) -> Future[Manifest]:
        """Copy all states now, and write them into the existing `folder` in a thread, while the next rounds play."""
        if self._saving is not None:
            self._saving.exception()  # one checkpoint at a time
        round, labels = self.round, labels or Labels()
        copied = cut(self.states())
        folder = folder_at(folder)
        clear(folder)
        self._saving = in_background(partial(self._write, folder, copied, round, labels))
        return self._saving

    def _write(self, folder: Folder, states: Cut, round: int, labels: Labels) -> Manifest:
        assignment = self.assignment
        files = self._writer.write(folder, states, {oracle.name for oracle in assignment.grammar.query.oracles})
        origin = assignment.grammar.signature, round, assignment.seed, tuple(states)
        manifest = Manifest(*origin, files, self._generation - 1, labels.experiment, labels.metrics)
        write_manifest(folder, manifest)
        return manifest

    @property
    def ending(self) -> bool:
        """Always False: no other process can ask this run to end."""
        return False

    def close(self) -> None:
        """Close all channels and oracles. May be called twice."""
        self._boundary.end()
        if self._saving is not None:
            self._saving.exception()
        self._release()

    def _release(self) -> None:
        for channel in self._channels:
            channel.close()
        with self._own_process():
            for hosted in self._hosted.values():
                hosted.close()

    def __enter__(self) -> "InlineExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        """Make new players, oracles, channels and programs, so that nothing remains of a failed round."""
        session = Session(self.assignment.grammar.signature, self._generation, self._deadline)
        self._generation += 1
        with self._own_process():
            self._hosted = {
                name: Hosted(self.assignment, name, self._device) for name in self.assignment.placement.names
            }
            self._open(session)

    def _open(self, session: Session) -> None:
        """Make the channels and programs of all workers. Merge all of their actions in the schedule's order.

        A transfer becomes two actions: the send of one worker, directly followed by the receive of the other worker.
        """
        schedule, exchange, keep = self.assignment.schedule, Exchange(), self._watch is not None
        self._channels = [
            onto(LocalChannel(session, name, exchange, schedule.carried_by(name)), self._hosted[name].device)
            for name in schedule.workers
        ]
        places: dict[object, tuple[str, int]] = {}
        parts = {}
        for name, channel in zip(schedule.workers, self._channels, strict=True):
            channel.open()
            actions = project(schedule, name)
            parts[name] = self.assignment, name, actions, self._hosted[name], channel, keep
            for position, action in enumerate(actions):
                half = isinstance(action, Send | Receive)
                places[(type(action), action.edge.number) if half else id(action)] = name, position
        halves = [
            [(half, step.edge.number) for half in (Send, Receive)] if isinstance(step, Transfer) else [id(step)]
            for step in schedule.steps
        ]
        merged = [(step, *places[key]) for step, keys in zip(schedule.steps, halves, strict=True) for key in keys]
        programs, flights = {}, {}
        if schedule.in_flight == 1:
            programs = {name: LocalProgram(*each) for name, each in parts.items()}
            entries = {name: each.entries for name, each in programs.items()}
            self._agenda = Agenda((step.when, entries[name][position]) for step, name, position in merged)
        else:
            flights = {name: RoundsInFlight(*each) for name, each in parts.items()}
            self._turns = Turns((step.when, step.delay, (flights[name], position)) for step, name, position in merged)
        self._programs, self._flights = list(programs.values()), list(flights.values())

    @contextmanager
    def _own_process(self, torch_alone: bool = False) -> Iterator[None]:
        """Return a context with the assignment's number of threads and torch settings, and with its own random streams.

        At its end, those of the caller are restored. torch_alone: do not save and restore the random streams of numpy
        and Python, because no code in the context draws from them.
        """
        before = torch.get_num_threads()
        devices = [self._device.index or 0] if self._device.type == "cuda" else []
        torch.set_num_threads(self.assignment.threads)
        try:
            streams = torch.random.fork_rng if torch_alone else forked
            with self.assignment.state.entered(), streams(devices=devices):
                yield
        finally:
            torch.set_num_threads(before)
