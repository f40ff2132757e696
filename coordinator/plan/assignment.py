"""The assignment of a run: all data that a worker needs to play its part. It is sent to each worker once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.plan.compile import compile_schedule
from antiphon.coordinator.plan.figures import Figure
from antiphon.coordinator.plan.placement import Placement, together
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.staleness import Staleness
from antiphon.coordinator.plan.step_order import OrderName, StepOrder
from antiphon.errors import PlacementError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.numbers import Count, Natural, Threads
from antiphon.grammars.oracle import State
from antiphon.grammars.process_state import ProcessState
from antiphon.grammars.typed import typed

OnNonfinite: TypeAlias = Literal["fail", "skip-round", "clip", "warn"]


@dataclass(frozen=True)
class Assignment:
    """All of a run's settings: grammar, placement, schedule, agents, seed, threads.

    agents: one for each player. threads: torch's number of threads on every worker; another number may change the order
    of sums in kernels. record: whether every worker records when it plays each action (`Played.recording`).
    on_nonfinite: what happens if a value becomes NaN or infinite. figures: numbers to measure once in each batch of
    rounds, for the reports of players. state: torch's settings for all workers, taken from
    the process that makes the assignment.
    """

    grammar: Grammar
    placement: Placement
    schedule: Schedule
    agents: Mapping[str, AgentSpecification] = field(default_factory=dict)
    seed: int = 0
    threads: int = 1
    record: bool = False
    on_nonfinite: OnNonfinite = "fail"
    state: ProcessState = field(default_factory=ProcessState.here)
    figures: tuple[Figure, ...] = ()


@typed
def assign(
    grammar: Grammar,
    agents: Mapping[str, AgentSpecification] | AgentSpecification | None = None,
    *,
    placement: Placement | None = None,
    seed: Natural = 0,
    threads: Threads = 1,
    order: StepOrder | OrderName | None = None,
    microbatches: Count = 1,
    staleness: Staleness = 0,
    record: bool = False,
    on_nonfinite: OnNonfinite = "fail",
    figures: tuple[Figure, ...] = (),
) -> Assignment:
    """Return the assignment of a run of `grammar`, with its compiled schedule.

    agents: agent specifications by player, or one specification for all players. The default is Adam with torch's own
    arguments.
    placement: the default is one worker for all. order: order of a round's queries and responses, "gpipe", "1f1b" or
    "zero-bubble". The default is "zero-bubble" with several workers, else "gpipe". microbatches: number of slices of
    the batch that a round plays separately; each slice needs a row for every replica. staleness: how many rounds old
    the parameters of queries are, for all passes of the Query graph or by pass; 0 are the newest. record: whether every
    worker records when it plays each action.
    on_nonfinite: what happens if a value of a round becomes NaN or infinite. "fail" raises NonfiniteError. "clip"
    replaces NaN by 0 and infinity by the nearest finite number. "skip-round" does the same, and no player moves in
    that round. "warn" only reports it. figures: numbers to measure, see `Assignment`.
    Raises PlacementError for an agent whose player does not exist, and for a batch or module that these settings do not
    fit.
    """
    players = [player.name for player in grammar.query.players]
    if agents is None or isinstance(agents, AgentSpecification):
        agents = dict.fromkeys(players, agents or AgentSpecification.of())
    for name in agents:
        if name not in players:
            raise PlacementError(
                f"an agent was given for {name!r}, which is no player of grammar {grammar.name!r}; "
                f"expected one of {players}. Correct the name."
            )
    complete = {player: agents.get(player) or AgentSpecification.of() for player in players}
    placement = placement or together(grammar)
    cadences = {player: specification.cadence for player, specification in complete.items()}
    steps = StepOrder(order) if order else (StepOrder.ZERO_BUBBLE if len(placement.workers) > 1 else StepOrder.GPIPE)
    vote = on_nonfinite == "skip-round"
    schedule = compile_schedule(grammar, placement, cadences, steps, microbatches, staleness, vote)
    return Assignment(grammar, placement, schedule, complete, seed, threads, record, on_nonfinite, figures=figures)


def for_any_placement(states: Mapping[str, State]) -> Mapping[str, State]:
    """Return states that can be loaded under any placement, whatever placement they were saved under.

    Where the agent (optimizer) of a player P is on another worker, the state of P has no agent, and a second state
    `P@agent` has it. Here both names get the state with the agent.
    """
    with_agent = {name for name, state in states.items() if isinstance(state, Mapping) and state.get("agent")}
    apart = {name: name.removesuffix("@agent") for name in with_agent if name.endswith("@agent")}
    joined = {own: {**states[own], "agent": states[name]["agent"]} for name, own in apart.items() if own in states}
    return {f"{name}@agent": states[name] for name in with_agent - apart.keys()} | {**states, **joined}
