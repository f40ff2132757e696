"""What a grammar's promises are measured on: families of instances, and studies against closed forms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.measured import Measured
from antiphon.grammars import Grammar


@final
@dataclass(frozen=True)
class Learning:
    """How an instance learns: for how many rounds, and with which agents (one for all players, or by player).

    By default Adam with a learning rate that falls to zero, so that players come to rest even with noisy responses.
    """

    rounds: int = 1000
    agents: AgentSpecification | Mapping[str, AgentSpecification] | None = None

    @property
    def all_agents(self) -> AgentSpecification | Mapping[str, AgentSpecification]:
        """The agents; the default if none are given."""
        return smaller_and_smaller(self.rounds) if self.agents is None else self.agents


def smaller_and_smaller(rounds: int, lr: float = 0.02) -> AgentSpecification:
    """Adam with a learning rate that falls from `lr` to zero over `rounds` rounds."""
    schedule = {"scheduler": "CosineAnnealingLR", "scheduler_arguments": {"T_max": rounds}}
    return AgentSpecification.of("Adam", {"lr": lr}, **schedule)


def descent(lr: float, **arguments: float) -> AgentSpecification:
    """SGD with a fixed learning rate. Players come to rest only where their gradients vanish, without noise."""
    return AgentSpecification.of("SGD", {"lr": lr, **arguments})


@final
@dataclass(frozen=True)
class Case:
    """A family of instances of one grammar; all of the grammar's promises are measured on each instance.

    make: makes a small random grammar from a seed, the same one for equal seeds. Its guarantee names the references
    that are known for this family. The check runs in float64, whatever the dtype of the grammar.
    instances: how many `antiphon check` makes.
    """

    name: str
    make: Callable[[int], Grammar]
    instances: int = 10
    learning: Learning = Learning()


@final
@dataclass(frozen=True)
class Study:
    """A measurement that is no promise about single rounds: a search, a scaling law, a refuted claim.

    claim: the claim in one line. measure: called with a seed.
    """

    claim: str
    measure: Callable[[int], Measured]
    instances: int = 1


@final
@dataclass(frozen=True)
class Suite:
    """All that is checked of one grammar. grammar: its name in the library."""

    grammar: str
    cases: tuple[Case, ...]
    studies: tuple[Study, ...] = ()
