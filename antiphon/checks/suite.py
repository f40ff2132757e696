"""What a grammar's promises are measured on: families of instances, and studies against closed forms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from antiphon.agents.specification import AgentSpecification
from antiphon.grammars.grammar import Grammar


@final
@dataclass(frozen=True)
class Learning:
    """How an instance is let learn: so many rounds, with these agents, one for all or by player.

    By default Adam, whose steps fall to nothing over the rounds, so that it comes to rest also where it is told noise.
    """

    rounds: int = 1000
    agents: AgentSpecification | Mapping[str, AgentSpecification] | None = None

    @property
    def all_agents(self) -> AgentSpecification | Mapping[str, AgentSpecification]:
        """The agents, the default in place of none."""
        return smaller_and_smaller(self.rounds) if self.agents is None else self.agents


def smaller_and_smaller(rounds: int, lr: float = 0.02) -> AgentSpecification:
    """Adam whose steps fall from `lr` to nothing over so many rounds."""
    schedule = {"scheduler": "CosineAnnealingLR", "scheduler_arguments": {"T_max": rounds}}
    return AgentSpecification.of("Adam", {"lr": lr}, **schedule)


@final
@dataclass(frozen=True)
class Case:
    """A family of instances of one grammar, on each of which all of the grammar's promises are measured.

    make: from a seed to a small grammar, random and equal for equal seeds; its guarantee names the references that are
    known for this family. It is checked in float64, whatever it is made in. instances: how many `antiphon check` makes.
    """

    name: str
    make: Callable[[int], Grammar]
    instances: int = 10
    learning: Learning = Learning()


@final
@dataclass(frozen=True)
class Measurement:
    """A figure and the bound that it must not exceed. detail: what a reader should know of it, in words."""

    value: float
    bound: float
    detail: str = ""


@final
@dataclass(frozen=True)
class Study:
    """A measurement that is no promise of single rounds: a search, a scaling law, a refuted claim.

    claim: one line, what is claimed. measure: from a seed. player, operator: whom a failure concerns.
    """

    claim: str
    measure: Callable[[int], Measurement]
    instances: int = 1
    player: str = "all"
    operator: str = ""


@final
@dataclass(frozen=True)
class Suite:
    """All that is checked of one grammar of the library, by its name."""

    grammar: str
    cases: tuple[Case, ...]
    studies: tuple[Study, ...] = ()
