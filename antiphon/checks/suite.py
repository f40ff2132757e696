"""Suites: the families of instances on which a grammar's promises are measured, and further studies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.measured import Measured
from antiphon.grammars import Grammar


@final
@dataclass(frozen=True)
class Learning:
    """How the players of an instance learn.

    rounds: number of rounds.
    agents: one agent for all players, or an agent by player. None is Adam with a learning rate that falls to zero, so
    that players come to rest even with noisy responses.
    """

    rounds: int = 1000
    agents: AgentSpecification | Mapping[str, AgentSpecification] | None = None

    @property
    def all_agents(self) -> AgentSpecification | Mapping[str, AgentSpecification]:
        """The agents that are used: `agents`, or the default if it is None."""
        return smaller_and_smaller(self.rounds) if self.agents is None else self.agents


def smaller_and_smaller(rounds: int, lr: float = 0.02) -> AgentSpecification:
    """Return Adam with a learning rate that falls from `lr` to zero over `rounds` rounds."""
    schedule = {"scheduler": "CosineAnnealingLR", "scheduler_arguments": {"T_max": rounds}}
    return AgentSpecification.of("Adam", {"lr": lr}, **schedule)


def descent(lr: float, **arguments: float) -> AgentSpecification:
    """Return SGD with a fixed learning rate. Players come to rest only if their gradients become exactly zero."""
    return AgentSpecification.of("SGD", {"lr": lr, **arguments})


@final
@dataclass(frozen=True)
class Case:
    """A family of instances of one grammar; all of the grammar's promises are measured on each instance.

    make: makes a small random grammar from a seed, the same grammar for equal seeds. The promises of the grammar name
    the losses, optima and bounds that are known for this family. The check runs in float64 if possible.
    instances: number of instances that `antiphon check` makes.
    learning: how the players learn, for promises about learning.
    """

    name: str
    make: Callable[[int], Grammar]
    instances: int = 10
    learning: Learning = Learning()


@final
@dataclass(frozen=True)
class Study:
    """A measurement that is no promise of a grammar: for example a search, a scaling law or a refuted claim.

    claim: the claim in one line. measure: returns the result for a seed. instances: number of seeds.
    """

    claim: str
    measure: Callable[[int], Measured]
    instances: int = 1


@final
@dataclass(frozen=True)
class Suite:
    """All checks of one grammar. grammar: its name in the library. cases, studies: see `Case` and `Study`."""

    grammar: str
    cases: tuple[Case, ...]
    studies: tuple[Study, ...] = ()
