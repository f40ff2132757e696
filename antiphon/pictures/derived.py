"""A substitute for a grammar in pictures: Q with the R of the chain rule, where a player may receive nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from antiphon.grammars.guarantee import Guarantee
from antiphon.grammars.objective import Objective
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.response import ResponseGraph
from antiphon.grammars.types import EdgeType


@dataclass(frozen=True)
class Derived:
    """The parts of a grammar that a picture needs: Q, R and the objective, without promises."""

    name: str
    query: QueryGraph
    response: ResponseGraph
    objective: Objective
    guarantee: Guarantee = Guarantee()

    @property
    def message_types(self) -> Mapping[Port, EdgeType]:
        """The type of every message of R."""
        return self.response.types(self.query)
