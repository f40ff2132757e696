"""A grammar with a seed, run in float64 if possible. All promises of the grammar are measured on the same rounds."""

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
    """A grammar with a seed, on which the promises of the grammar are measured. It is run in float64 if possible.

    seed: determines the initial parameters and the draws of the oracles.
    places: the recorded rounds on which the promises are measured.
    rounding: relative tolerance for rounding errors, if the grammar is not run in float64; else 0.
    """

    def __init__(self, grammar: Grammar, seed: int, learning: Learning, promoted: bool = True) -> None:
        """promoted: if true, run the grammar in float64 if possible.

        If false, run it in the dtypes that it declares, and measure only at the initial parameters.
        """
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
        """The grammar with the dtypes in which it is run: float64 instead of the declared dtypes, if possible."""
        return self.places.grammar

    @property
    def players(self) -> tuple[str, ...]:
        """The names of all players of the grammar, in the order of declaration."""
        return tuple(player.name for player in self.grammar.query.players)

    @functools.cached_property
    def as_declared(self) -> "Instance | None":
        """An instance with the same grammar and seed that is run in the declared dtypes instead of float64.

        It is needed because a user's function (`Map`) in the Response graph may return other values in float64. None if
        the Response graph has no such function, or if this instance is already run in the declared dtypes.
        """
        maps = [each for each in self.grammar.response.nodes if isinstance(each, Map)]
        if self.rounding or all(is_of_antiphon(each.operation) for each in maps):
            return None
        return Instance(self._declared, self.seed, self.learning, promoted=False)

    def measured(self, promise: Promise, measure: Callable[[Promise], list[Measured]]) -> list[Measured]:
        """Call `measure` with a promise in float64. If it raises, or no gradient is finite, use the declared dtypes.

        In the declared dtypes the tolerance of the promise is looser (half of the digits), and a remark in each result
        says so.
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
    """Return `found` unchanged. Raise ArithmeticError if no player has a finite gradient.

    The reason may be that the grammar is run in float64: a module may write the lowest float64 number into a float32
    tensor, where it becomes minus infinity.
    """
    if all(each.skipped == NOT_FINITE for each in found):
        raise ArithmeticError(NOT_FINITE)
    return found


def _floats(grammar: Grammar) -> set[torch.dtype]:
    """Return the floating-point and complex dtypes of all values and parameters in a grammar."""
    found = {each.dtype for node in grammar.query.nodes for each in node.outputs}
    found |= {each.dtype for player in grammar.query.players for each in player.parameters}
    return {dtype for dtype in found if dtype.is_floating_point or dtype.is_complex}
