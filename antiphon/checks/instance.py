"""One grammar with one seed, in float64. Its rounds are played once for all promises."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import final

import torch

from antiphon.checks.measured import NOT_FINITE, Measured
from antiphon.checks.places import Places
from antiphon.checks.suite import Learning
from antiphon.coordinator.streams import is_of_antiphon
from antiphon.errors import FOREIGN
from antiphon.grammars import Grammar, Promise
from antiphon.grammars.precision import in_float64
from antiphon.grammars.promotion import in_double
from antiphon.grammars.response import Map
from antiphon.grammars.types import dtype_name


@final
class Instance:
    """A grammar to be measured, in float64 if possible.

    seed: of the run, hence of parameters and oracles' draws.
    places: its recorded rounds, where promises are measured.
    rounding: additional relative tolerance; 0 in float64.
    """

    def __init__(self, grammar: Grammar, seed: int, learning: Learning, promoted: bool = True) -> None:
        """promoted: whether to play in float64. If not, it is played as declared, and only at the start."""
        self.seed, self.learning, self._declared = seed, learning, grammar
        self.rounding, self._remark = 0.0, ""
        if not promoted:
            self._play_as_declared("as it is played", further=False)
            return
        try:
            with in_double():
                self.places = Places(in_float64(grammar), seed, learning)
        except FOREIGN as error:  # a user's map may refuse float64, and raise anything
            self._play_as_declared(_refused(error))

    @property
    def grammar(self) -> Grammar:
        """The grammar as it is played."""
        return self.places.grammar

    @property
    def players(self) -> tuple[str, ...]:
        """All players, in the order in which they were declared."""
        return tuple(player.name for player in self.grammar.query.players)

    @functools.cached_property
    def as_declared(self) -> "Instance | None":
        """This instance in the precision in which it was declared, or None if R has no maps that a user wrote.

        A user's map may return other values in float64 than in the precision in which it will be played.
        """
        maps = [each for each in self.grammar.response.nodes if isinstance(each, Map)]
        if self.rounding or all(is_of_antiphon(each.operation) for each in maps):
            return None
        return Instance(self._declared, self.seed, self.learning, promoted=False)

    def measured(self, promise: Promise, measure: Callable[[Promise], list[Measured]]) -> list[Measured]:
        """Measure a promise in float64, or in the declared precision if that raises or gives no finite gradient.

        In the declared precision the tolerance is looser (half of the digits), and each figure says so.
        """
        if self.grammar is not self._declared:
            try:
                with in_double():
                    return _finite_somewhere(measure(promise))
            except FOREIGN as error:  # a module may refuse float64, and raise anything
                self._play_as_declared(_refused(error))
        loose = {name: self.rounding for name in ("tolerance", "bias") if self.rounding > getattr(promise, name, 1.0)}
        return list(map(self._remarked, measure(replace(promise, **loose))))

    def _play_as_declared(self, why: str, further: bool = True) -> None:
        self.places = Places(self._declared, self.seed, self.learning, further)
        coarsest = max(_floats(self._declared), key=lambda dtype: torch.finfo(dtype).eps)
        self.rounding = math.sqrt(torch.finfo(coarsest).eps)
        self._remark = f"measured in {dtype_name(coarsest)}, within {self.rounding:.2g}, {why}"

    def _remarked(self, found: Measured) -> Measured:
        detail = "; ".join(filter(None, (found.detail, self._remark)))
        return found if found.skipped else replace(found, detail=detail)


def _refused(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"since float64 was refused: {type(cause).__name__}: {cause}".splitlines()[0]


def _finite_somewhere(found: list[Measured]) -> list[Measured]:
    """The figures. Raises ArithmeticError if no player has a finite gradient: -1.8e308 becomes infinite in float32."""
    if all(each.skipped == NOT_FINITE for each in found):
        raise ArithmeticError(NOT_FINITE)
    return found


def _floats(grammar: Grammar) -> set[torch.dtype]:
    """The floating-point and complex dtypes of all values and parameters."""
    found = {each.dtype for node in grammar.query.nodes for each in node.outputs}
    found |= {each.dtype for player in grammar.query.players for each in player.parameters}
    return {dtype for dtype in found if dtype.is_floating_point or dtype.is_complex}
