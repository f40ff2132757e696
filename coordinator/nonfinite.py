"""Tests the values of a round for NaN and infinity, and applies the run's policy `on_nonfinite`.

Each worker tests the values that it makes. If several values of a round are wrong, the error names the first in the
order of the schedule, on every executor. A value is "wrong" if it holds NaN, or infinity where that is not allowed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast, final

import torch
from torch import Tensor

from antiphon.agents.player import Player
from antiphon.agents.shards import part
from antiphon.coordinator.entries import Entry, Play, play_round
from antiphon.coordinator.hosted import Hosted
from antiphon.coordinator.plan import steps
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.steps import LocalAction, LocalStep, Slot, Step
from antiphon.coordinator.shown import Shown
from antiphon.coordinator.statistics import Nonfinite
from antiphon.coordinator.values import flat
from antiphon.errors import AntiphonError, NonfiniteError
from antiphon.grammars.finite import LARGE, all_finite, clipped, has_no_nan, is_finite, may_be_wrong, wrong
from antiphon.grammars.query import Kind, Node
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, Sum
from antiphon.transport.memory import Value
from antiphon.transport.message import Phase

SKIPPED = "the round was skipped, because a value in it was NaN or infinite"

_POLICIES = 'With on_nonfinite = "skip-round", "clip" or "warn" the run goes on.'
_REMEDY = f"Lower the learning rate, limit the gradients (clip_norm of the agent), or correct the data. {_POLICIES}"
_REMEDY_OF_ORACLE = f"Correct the data, or the code of the oracle. {_POLICIES}"
_REMEDY_OF_MOVE = "This move cannot be undone: lower the learning rate, or limit the gradients (clip_norm)."


@final
class FiniteCheck:
    """Tests the values that one worker makes in each round.

    With the policies "fail" and "warn", one test at the end of the round covers all values together. Only if it fails,
    each value of the round is tested. With "clip" and "skip-round", and with micro-batches, which drop values early,
    every value is tested when it is made. An action is always tested when it is made, because an environment cannot
    take NaN.

    values: the values of the current round by key, as the program of the worker keeps them. key: returns the key of a
    slot. beside: the check of this worker for other rounds in flight; both share their findings. skipping: the reason
    why no player moves in this round; "" if the players move. losses: the sum of the losses of this round; the program
    adds each loss when it reads it.
    """

    def __init__(
        self,
        assignment: Assignment,
        hosted: Hosted,
        values: dict[int, Value],
        key: Callable[[Slot], int],
        actions: Sequence[LocalAction],
        beside: "FiniteCheck | None" = None,
    ) -> None:
        self._schedule, self._grammar, self._policy = assignment.schedule, assignment.grammar, assignment.on_nonfinite
        self._hosted, self._values, self._key, self.skipping = hosted, values, key, ""
        microbatches = any(action.microbatch is not None for action in actions)
        self._at_once = microbatches or self._policy in ("clip", "skip-round")
        self._found = 0
        self._places: dict[str, Nonfinite] = beside._places if beside else {}
        self._together: dict[int, Slot] = {}
        self._masks: list[int] = []
        self._several = False
        self._moved: list[_Moved] = []
        self.losses = 0.0
        self._joined: dict[tuple[_Moved, ...], tuple[list[Tensor], list[Tensor]]] = {}
        self._apart = self._moves = self._has_loss = False
        query = self._grammar.query
        self._actions = {port for node in query.nodes if node.kind is Kind.ORACLE for port in node.inputs}
        self._shown = Shown(assignment, hosted)

    def checked(self, action: LocalAction, play: Play) -> Play:
        """Return a function of the round that plays an action, and then tests the values that must be tested at once.

        If the round is skipped, deliveries to players and updates of clones are left out.
        """
        if isinstance(action, steps.Move):
            return self._noted(action, play)
        if self._policy == "skip-round" and self._learns(action):
            return lambda round: None if self.skipping else play(round)
        slots = self._made(action)
        at_once = [slot for slot in slots if self._at_once or slot.port in self._actions]
        later = [slot for slot in slots if slot not in at_once and not self._shown.is_shown(action, slot)]
        later += [] if self._at_once else self._shown.to_test(action)
        if isinstance(action, steps.Query) and self._grammar.query.by_name[action.node].kind is Kind.LOSS:
            self._has_loss, later = self._has_loss or bool(later), []  # `losses` tells
        self._together |= {self._key(slot): slot for slot in later}
        self._several |= any(slot.port.index == PARAMETERS for slot in later) or bool(self._hosted.shared)
        return self._tested(action, play, at_once) if at_once else play

    @property
    def tests_later(self) -> bool:
        """Whether values or parameters of this worker are tested at the end of a round."""
        return bool(self._together) or self._moves or self._has_loss

    def vote(self, action: steps.Vote) -> Play:
        """Return a function of the round that plays a step of the vote on whether the round is skipped."""
        reads, writes, values = [*map(self._key, action.reads)], [*map(self._key, action.writes)], self._values

        def play(round: int) -> None:
            votes = sum(int(flat(values[key])) for key in reads) if reads else self._found
            if not reads:
                self._found = 0
            for key in writes:
                values[key] = torch.full((), float(votes), device=self._hosted.device)
            if not writes:
                self.skipping = SKIPPED if votes else ""

        return play

    def settle(self, round: int) -> NonfiniteError | None:
        """Test all values and parameters of the round together.

        Return the error of the first wrong value if the policy is "fail"; else None.
        """
        get = self._values.get
        found = [value for key in self._together if (value := get(key)) is not None]
        tensors = _parts(found) if self._several else cast(list[Tensor], found)
        small, large = self._parameters()
        losses, self.losses = self.losses, 0.0
        right = losses - losses == 0 and all_finite([*large, *tensors], small)
        right = right and (not self._apart or self._all_apart_are_right())
        wrong = None if right else self.search(round)
        if not right:
            self._set_masks_apart()
        self._moved.clear()
        return wrong

    def _parameters(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the small and the large parameters that moved in this round, the last ones first.

        Those are still in the cache of the processor.
        """
        moved = tuple(self._moved)
        found = self._joined.get(moved)
        if found is None:
            backwards = moved[::-1]
            small, large = [t for each in backwards for t in each.small], [t for each in backwards for t in each.large]
            found = self._joined[moved] = small, large
        return found

    def _all_apart_are_right(self) -> bool:
        masks = _parts([self._values[key] for key in self._masks if key in self._values])
        players = [moved.player for moved in self._moved if moved.masks]
        return all(map(has_no_nan, masks)) and all(player.not_finite() is None for player in players)

    def _set_masks_apart(self) -> None:
        """From now on, test values that may hold infinity, such as masks, one by one: they make every sum infinite."""
        for key, slot in list(self._together.items()):
            value = self._values.get(key)
            if isinstance(value, Tensor) and not is_finite(value) and self._is_right(slot, value):
                del self._together[key]
                self._masks.append(key)
                self._apart = True

    def search(self, round: int) -> NonfiniteError | None:
        """Test every value of this round on this worker, in the order of the schedule, and note the wrong values.

        If the policy is "fail", return the error of the first wrong value. It names the worker that made the value,
        which may be another worker.
        """
        values = dict(self._values)
        for position, step in enumerate(self._schedule.of_one_round):
            if isinstance(step, steps.Transfer) or (self._policy == "warn" and step.worker != self._hosted.worker):
                continue  # the worker that made a received value warns about it
            for slot in self._made(step):
                if self._policy == "warn" and slot.port in self._actions:
                    continue  # tested at once
                value = values.get(self._key(slot))
                if value is None or self._is_right(slot, value):
                    continue
                if found := self._tell(position, step, repr(slot), self._who(step, slot, value), value, round):
                    return found
        errors = (self._search_moved(moved, round) for moved in list(self._moved))
        return next(filter(None, errors), None)

    def taken(self) -> dict[str, Nonfinite]:
        """Return the findings since the last call, by the name of the wrong value or parameter."""
        found = dict(self._places)
        self._places.clear()
        return found

    def _tested(self, action: LocalAction, play: Play, slots: Sequence[Slot]) -> Play:
        values, keyed = self._values, [(self._key(slot), slot) for slot in slots]

        def tested(round: int) -> None:
            play(round)
            for key, slot in keyed:
                if not self._is_right(slot, values[key]):
                    self._meet(action, slot, key, round)

        return tested

    def _noted(self, action: steps.Move, play: Play) -> Play:
        moved = _Moved.of(action, self._hosted.agent_of(action.player))
        self._apart |= moved.masks
        self._moves = not self._at_once

        def noted(round: int) -> None:
            play(round)
            self._moved.append(moved)

        def tested(round: int) -> None:
            play(round)
            found = self._search_moved(moved, round)
            if found:
                raise found
            if self._policy == "clip":
                moved.player.clip()

        return tested if self._at_once else noted

    def _search_moved(self, moved: "_Moved", round: int) -> NonfiniteError | None:
        action, player = moved.action, moved.player
        name = player.not_finite()
        if name is None:
            return None
        value = part(dict(player.named)[name].detach())
        place, who = (
            f"parameters of {action.player}",
            f"player {action.player!r}: its parameter {name!r}, after its move,",
        )
        return self._tell(self._schedule.of_one_round.index(action), action, place, who, value, round)

    def _made(self, step: Step | LocalAction) -> Sequence[Slot]:
        """Return the values of a step that are tested.

        A seed is a constant, and a tap, a cut and a join only copy values: these are not tested.
        """
        match step:
            case steps.Query(node=name, writes=writes):
                outputs = self._grammar.query.by_name[name].outputs
                return [slot for slot in writes if may_be_wrong(outputs[slot.port.index].dtype)]
            case steps.Respond(node=name, writes=writes):
                return writes if isinstance(self._grammar.response.by_name[name], Product | Sum | Map) else ()
            case steps.Accumulate(writes=writes) | steps.Collect(writes=writes):
                return writes
            case _:
                return ()

    def _is_right(self, slot: Slot, value: Value) -> bool:
        test = is_finite if self._infinity_counts(slot) else has_no_nan
        return test(value) if isinstance(value, Tensor) else all(test(part(each)) for each in value)

    def _infinity_counts(self, slot: Slot) -> bool:
        if slot.phase is not Phase.QUERY or slot.port in self._actions:
            return True
        return self._grammar.query.by_name[slot.port.node].kind is Kind.LOSS

    def _learns(self, action: LocalAction) -> bool:
        if isinstance(action, steps.Respond):
            return isinstance(self._grammar.response.by_name[action.node], Deliver)
        return isinstance(action, steps.Follow)

    def _meet(self, action: LocalAction, slot: Slot, key: int, round: int) -> None:
        value, position = self._values[key], self._schedule.of_one_round.index(action)
        assert not isinstance(action, steps.Send | steps.Receive)  # these make no value
        found = self._tell(position, action, repr(slot), self._who(action, slot, value), value, round)
        if found:
            raise found
        if self._policy in ("clip", "skip-round"):
            self._found += 1
            infinity = self._infinity_counts(slot)
            several = isinstance(value, tuple)
            self._values[key] = tuple(map(clipped, value)) if several else clipped(value, infinity)

    def _tell(
        self, position: int, step: LocalStep, place: str, who: str, value: Value, round: int
    ) -> NonfiniteError | None:
        """Note that a value is wrong. Return the error to raise if the run must fail; else None."""
        known = self._places.get(place)
        if known is not None:
            self._places[place] = known.again()
            return None
        parts = [value] if isinstance(value, Tensor) else [*map(part, value)]
        nans, wrongs = (sum(int(wrong(each, infinity).sum()) for each in parts) for infinity in (False, True))
        text = (
            f"{who} on worker {step.worker!r} held NaN or infinity in round {round}, as the first value of this round; "
            f"expected finite numbers, and {nans} NaN and {wrongs - nans} infinite of "
            f"{sum(each.numel() for each in parts)} arrived"
        )
        undone = self._policy == "skip-round" and isinstance(step, steps.Move)
        if self._policy == "fail" or undone:
            remedy = _REMEDY_OF_MOVE if undone else _REMEDY_OF_ORACLE if who.startswith("oracle") else _REMEDY
            return NonfiniteError(f"{text}. {remedy}", worker=step.worker, round=round, position=position)
        self._places[place] = Nonfinite(1, round, position, text)
        return None

    def _who(self, step: LocalStep, slot: Slot, value: Value) -> str:
        targets = [each.edge.target for each in self._schedule.transfers.values() if each.slot == slot]
        bound = f", bound for {', '.join(map(repr, targets))}," if targets else ""
        return f"{self._author(step, slot, value)}{bound}"

    def _author(self, step: LocalStep, slot: Slot, value: Value) -> str:
        query, response = self._grammar.query.by_name, self._grammar.response.by_name
        if isinstance(step, steps.Query):
            return self._answerer(query[step.node], slot)
        if not isinstance(step, steps.Respond):
            return f"the sum {slot!r} of gradients"
        node = response[step.node]
        if not isinstance(node, Product):
            return f"the message {slot!r} of {step.node!r}"
        of = query[node.of]
        if slot.port.index != PARAMETERS:
            return f"{of.kind} {of.owner!r}: the response {slot!r}, the gradient of its input {slot.port.index}"
        names = [f" {name!r}" for name, _ in self._hosted.players[of.owner].named] if isinstance(value, tuple) else []
        name = next((name for name, each in zip(names, value, strict=False) if not is_finite(part(each))), "s")
        return f"player {of.owner!r}: the gradient {slot!r} of its parameter{name}"

    def _answerer(self, node: Node, slot: Slot) -> str:
        if node.kind is Kind.ORACLE:
            return f"oracle {node.owner!r}: its answer {slot!r} to the question {node.question!r}"
        player = self._hosted.players.get(node.owner)
        held = player.not_finite() if player is not None and not self._moved else None
        if held is not None:
            made = f"its parameter {held!r}, as it was made or loaded,"
            return f"player {node.owner!r}: {made} and so its output {slot!r}"
        action = ", an action," if slot.port in self._actions else ""
        return f"{node.kind} {node.owner!r}: its output {slot!r}{action}"


def _parts(values: Sequence[Value]) -> list[Tensor]:
    """Return all tensors of several values in one list. For a sharded tensor, return the local shard."""
    return [part(each) for value in values for each in (value if isinstance(value, tuple) else (value,))]


@final
@dataclass(frozen=True, eq=False)
class _Moved:
    """A move of a player, and the player's parameters: small ones as vectors, and the others.

    masks: whether a parameter holds infinity, such as a mask of -inf. Then `small` and `large` are empty.
    """

    action: steps.Move
    player: Player
    small: Sequence[Tensor]
    large: Sequence[Tensor]
    masks: bool

    @classmethod
    def of(cls, action: steps.Move, player: Player) -> "_Moved":
        parameters = [part(each.detach()) for each in player.parameters]
        masks = not all_finite(parameters)
        plain = [] if masks else parameters
        small = [each.view(-1) for each in plain if each.numel() <= LARGE and each.is_contiguous()]
        large = [each for each in plain if each.numel() > LARGE or not each.is_contiguous()]
        return cls(action, player, small, large, masks)


@final
class RoundCheck:
    """The checks of all workers in one process. Raises the error of the first wrong value that they find."""

    def __init__(self, checks: Sequence[FiniteCheck]) -> None:
        self._checks = tuple(checks)
        self._later = tuple(check for check in checks if check.tests_later)

    def settle(self, round: int) -> None:
        """Test the values of a round at its end. Raises NonfiniteError for the first wrong value."""
        found = [check.settle(round) for check in self._later]
        if any(found):
            raise first(filter(None, found))

    def play(self, entries: Iterable[Entry], round: int) -> None:
        """Play entries of a round. If an entry fails and a wrong value is found, raises NonfiniteError for that value.

        Otherwise raises the error of `play_round`.
        """
        try:
            play_round(entries, round)
        except AntiphonError as error:
            found = [wrong for check in self._checks if (wrong := check.search(round))]
            found += [error] if isinstance(error, NonfiniteError) else []
            if found and first(found) is not error:
                raise first(found) from error
            raise


def first(errors: Iterable[NonfiniteError]) -> NonfiniteError:
    """Return the error with the earliest round, and in this round the earliest step."""
    return min(errors, key=lambda error: (error.round, error.position))
