"""Test suites: random grammars whose promises are measured (cases), and other measurements (studies)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.measured import Measured
from antiphon.grammars import Grammar


@final
@dataclass(frozen=True)
class Learning:
    """How the players of a grammar learn, for promises about the result of learning.

    rounds: number of rounds.
    agents: one agent for all players, or an agent by player. None means Adam with a learning rate that falls to zero,
    so that players come to rest even with noisy responses.
    """

    rounds: int = 1000
    agents: AgentSpecification | Mapping[str, AgentSpecification] | None = None

    @property
    def all_agents(self) -> AgentSpecification | Mapping[str, AgentSpecification]:
        """The value of `agents`. If it is None: Adam with a learning rate that falls to zero."""
        return smaller_and_smaller(self.rounds) if self.agents is None else self.agents


def smaller_and_smaller(rounds: int, lr: float = 0.02) -> AgentSpecification:
    """Return an Adam agent whose learning rate falls from `lr` to zero over `rounds` rounds (cosine)."""
    schedule = {"scheduler": "CosineAnnealingLR", "scheduler_arguments": {"T_max": rounds}}
    return AgentSpecification.of("Adam", {"lr": lr}, **schedule)


def descent(lr: float, **arguments: float) -> AgentSpecification:
    """Return an SGD agent with a fixed learning rate. With it, players come to rest only where gradients are zero."""
    return AgentSpecification.of("SGD", {"lr": lr, **arguments})


@final
@dataclass(frozen=True)
class Case:
    """A test case: a function that makes random grammars, whose promises are all measured.

    name: name of the case in the report.
    make: makes a small random grammar from a seed, the same grammar for equal seeds. The promises of this grammar name
    the losses, optima and bounds that are known for it. The grammar is run in float64 if possible.
    instances: number of grammars that `antiphon check` makes.
    learning: how the players learn, for promises about the result of learning.
    """

    name: str
    make: Callable[[int], Grammar]
    instances: int = 10
    learning: Learning = Learning()


@final
@dataclass(frozen=True)
class Study:
    """A measurement about a grammar, other than its promises: for example of a scaling law or a refuted claim.

    claim: the claim that is tested, in one line. measure: returns the result for a seed. instances: number of seeds.
    """

    claim: str
    measure: Callable[[int], Measured]
    instances: int = 1


@final
@dataclass(frozen=True)
class Suite:
    """All checks of one grammar.

    grammar: name of the grammar in the library. cases: functions that make random grammars, whose promises are
    measured. studies: other measurements.
    """

    grammar: str
    cases: tuple[Case, ...]
    studies: tuple[Study, ...] = ()
