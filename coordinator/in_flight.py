"""Plays rounds that overlap: a round begins before the responses and moves of earlier rounds."""

import functools
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from typing import Generic, TypeVar, final

import torch
from torch import Tensor

from antiphon.coordinator.brake import Brake
from antiphon.coordinator.entries import Entry
from antiphon.coordinator.hosted import Hosted
from antiphon.coordinator.nonfinite import FiniteCheck, RoundCheck
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.steps import LocalAction, Slot
from antiphon.coordinator.program import LocalProgram
from antiphon.coordinator.statistics import WorkerStatistics
from antiphon.grammars.when import Agenda, When
from antiphon.transport.channel import Channel
from antiphon.transport.message import Edge, Reduction

Item = TypeVar("Item")


@final
class Turns(Generic[Item]):
    """The items that are due in each turn. In turn t, an item with delay d plays round t - d, if its condition holds.

    >>> turns = Turns([(When(), 0, "query"), (When(), 1, "move")])
    >>> [(due, ended) for due, ended in turns.play(5, 2, lambda _: True)]
    [([('query', 5)], None), ([('query', 6), ('move', 5)], 5), ([('move', 6)], 6)]
    """

    def __init__(self, items: Iterable[tuple[When, int, Item]]) -> None:
        by_delay: dict[int, list[tuple[When, tuple[int, Item]]]] = {}
        for position, (when, delay, item) in enumerate(items):
            by_delay.setdefault(delay, []).append((when, (position, item)))
        self._agendas = {delay: Agenda(each) for delay, each in by_delay.items()}
        self._delay = max(by_delay, default=0)

    def play(
        self, first: int, rounds: int, begins: Callable[[int], bool]
    ) -> Iterator[tuple[list[tuple[Item, int]], int | None]]:
        """Yield for each turn the due items, each with its round, and the round that ends with the turn (or None).

        Rounds `first` to `first + rounds - 1` are played, fewer if `begins(round)` is false. All begun rounds end.
        """
        turn = begun = first
        more = True
        while True:
            more = more and turn < first + rounds and begins(turn)
            begun += more
            ended = turn - self._delay
            if ended >= begun:
                return
            yield self._due(turn, range(first, begun)), ended if ended >= first else None
            turn += 1

    def _due(self, turn: int, rounds: range) -> list[tuple[Item, int]]:
        found = [
            (position, item, turn - delay)
            for delay, agenda in self._agendas.items()
            if turn - delay in rounds
            for position, item in agenda.at(turn - delay)
        ]
        return [(item, round) for _, item, round in sorted(found, key=lambda each: each[0])]


@final
class Copying:
    """A channel that copies each received value out of the buffer of `channel`, so that the value stays valid.

    If rounds overlap, the next message of an edge may arrive before the last value of this edge is read.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.open, self.close, self.settle = channel.open, channel.close, channel.settle
        self.send, self.contribute = channel.send, channel.contribute

    def receive(self, edge: Edge, round: int) -> Tensor:
        """Wait for the message of `round` on `edge`, and return a copy of its value."""
        return self._channel.receive(edge, round).clone()

    def collect(self, reduction: Reduction, round: int) -> Tensor:
        """Wait for the result of an all-reduce in `round`, and return a copy of it."""
        return self._channel.collect(reduction, round).clone()


@final
class RoundsInFlight:
    """Plays the actions of one worker if rounds overlap. It has one program for each round in flight.

    Each program has its own values. Round r is played by the program with index r modulo the number of programs. All
    programs share the moves and the statistics. Other threads may read `cursor`. `noted[0]` is the latest round that
    has begun.
    """

    def __init__(
        self,
        assignment: Assignment,
        worker: str,
        actions: tuple[LocalAction, ...],
        hosted: Hosted,
        channel: Channel,
        keep: bool = False,
    ) -> None:
        """Compile the actions of `worker` for each round in flight. keep: keep all values until their round ends."""
        copying = Copying(channel)
        self._hosted = [hosted.of_turn(turn) for turn in range(assignment.schedule.in_flight)]
        self._programs: list[LocalProgram] = []
        for each in self._hosted:
            beside = self._programs[0] if self._programs else None
            self._programs.append(LocalProgram(assignment, worker, actions, each, copying, keep, beside))
        self._entries = [each.entries for each in self._programs]
        hosted.torch_alone &= all(each.torch_alone for each in self._hosted)
        self._past = hosted.past
        self._turns = Turns((action.when, action.delay, position) for position, action in enumerate(actions))
        self.cursor = self._programs[0].cursor

    def play(self, first: int, rounds: int, brake: Brake) -> WorkerStatistics:
        """Play rounds `first` to `first + rounds - 1`, or fewer if `brake` stops them. Return statistics. Blocks.

        At the end no round is in flight. Raises what `play_round` raises.
        """
        self.begin()
        with torch.no_grad():
            for due, ended in self._turns.play(first, rounds, functools.partial(self._begins, brake)):
                for position, round in due:
                    RoundCheck([self.finite_of(round)]).play((self.entry(position, round),), round)
                if ended is not None:
                    RoundCheck([self.finite_of(ended)]).settle(ended)
                    self.finish_round(ended)
        return self.end()

    def begin(self) -> None:
        """Begin a batch of rounds: replace the statistics by empty ones, and start to measure the time."""
        for each in self._programs:
            each.begin()

    def finite_of(self, round: int) -> FiniteCheck:
        """Return the object that tests the values of `round` on this worker for NaN and infinity."""
        return self._programs[round % len(self._programs)].finite

    @property
    def finite(self) -> FiniteCheck:
        """The object that tests the values of the round at `cursor` for NaN and infinity."""
        return self.finite_of(self.cursor.at[0])

    def entry(self, position: int, round: int) -> Entry:
        """Return the entry of the action with index `position` in `round`. The caller must play it next."""
        entry = self._entries[round % len(self._programs)][position]
        self.cursor = entry[0]
        return entry

    def held(self, round: int) -> dict[Slot, Tensor]:
        """Return all values of `round` on this worker, by slot. `finish_round` drops these values."""
        return self._programs[round % len(self._programs)].held()

    def finish_round(self, round: int) -> None:
        """End `round`: drop its values, count it, and keep the parameters that its moves have made."""
        self._programs[round % len(self._programs)].finish_round()
        self._past.keep(round + 1)

    def end(self) -> WorkerStatistics:
        """Wait until all sent messages have left, and return the statistics of the batch."""
        return self._programs[0].end()

    @property
    def noted(self) -> MutableSequence[int]:
        """The latest round that has begun."""
        return self._programs[0].noted

    @noted.setter
    def noted(self, place: MutableSequence[int]) -> None:
        self._programs[0].noted = place

    def _begins(self, brake: Brake, round: int) -> bool:
        if not brake.passes(round):
            return False
        self.noted[0] = round
        return True
