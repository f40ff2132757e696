"""What is drawn beside a grammar and need not be one: under the chain rule alone a player may hear nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from antiphon.grammars.guarantee import Guarantee
from antiphon.grammars.objective import Objective
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.response import ResponseGraph
from antiphon.grammars.types import EdgeType


@dataclass(frozen=True)
class Derived:
    """What a picture needs of a grammar, without its promises: Q, R and the objective."""

    name: str
    query: QueryGraph
    response: ResponseGraph
    objective: Objective
    guarantee: Guarantee = Guarantee()

    @property
    def message_types(self) -> Mapping[Port, EdgeType]:
        """The type of every message of R."""
        return self.response.types(self.query)
