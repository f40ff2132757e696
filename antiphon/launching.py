"""Launching a grammar: one call from a grammar and its agents to something that plays rounds."""

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TypeAlias, final

from antiphon.agents.specification import AgentSpecification, OnFailure
from antiphon.coordinator.executor import Executor, Played
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import Placement, spread
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.numbers import Count, Natural, Positive, Seconds, Threads
from antiphon.grammars.oracle import State
from antiphon.grammars.typed import typed

ExecutorName: TypeAlias = Literal["inline", "ray"]
TransportName: TypeAlias = Literal["process-group", "object-store"]
Agents: TypeAlias = Mapping[str, AgentSpecification] | AgentSpecification


@final
class Launched:
    """An executor, with the Ray that was started for it, if any. Use it with `with`, or call `close`.

    name: of the run; under Ray its actors live in the namespace `antiphon-<name>`.
    """

    def __init__(self, executor: Executor, name: str, places: Mapping[str, tuple[str, int]], scope: ExitStack) -> None:
        self.name, self.places = name, places
        self._executor, self._scope = executor, scope

    @property
    def assignment(self) -> Assignment:
        """Grammar, placement, schedule, agents, seed."""
        return self._executor.assignment

    @property
    def round(self) -> int:
        """The next round to play."""
        return self._executor.round

    @property
    def ending(self) -> bool:
        """Whether somebody else asked the run to end (`antiphon stop`); whoever plays is to obey."""
        return self._executor.ending

    @typed
    def play(self, rounds: Natural) -> Played:
        """Play the next rounds; blocks."""
        return self._executor.play(int(rounds))

    def states(self) -> Mapping[str, State]:
        """Everyone's state by name."""
        return self._executor.states()

    @typed
    def load(self, states: Mapping[str, State], round: Natural) -> None:
        """Continue from states at a round boundary."""
        self._executor.load(states, int(round))

    @typed
    def save(self, folder: Path | str) -> None:
        """Write a checkpoint."""
        self._executor.save(Path(folder))

    def close(self) -> None:
        """Stop what was started: actors first, then Ray if it was started here. May be called twice."""
        self._scope.close()

    def __enter__(self) -> "Launched":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@typed
def launch(
    grammar: Grammar,
    agents: Agents | None = None,
    *,
    executor: ExecutorName = "inline",
    transport: TransportName = "process-group",
    seed: Natural = 0,
    placement: Placement | None = None,
    threads: Threads = 1,
    deadline: Seconds = 30.0,
    run: str | None = None,
    address: str | None = None,
    num_cpus: Threads | None = None,
    record: bool = False,
) -> Launched:
    """Make everyone and be ready to play. Equal grammar, agents and seed play the same numbers on either executor.

    agents: one per player, or one for all; Adam with torch's own arguments where none is given.
    executor: "inline" plays in this process; "ray" starts an actor per player, oracle and loss, on the Ray that this
    process is connected to, on the cluster at `address`, or else on one of its own with `num_cpus` logical CPUs.
    placement: who lives where on Ray, and with what (`spread`, `together`, `place`); a worker each where none is given.
    threads: torch's, on each worker.
    deadline: seconds per message. record: have every worker note when it plays what (`Played.recording`).
    run: its name; no other run on the cluster may have it. address: see `ray_session`.
    Raises ExperimentError, ClusterError, VersionError, PlacementError, OracleError, AgentError or TransportError, and
    leaves nothing running.
    """
    name = run or f"{grammar.name}-{uuid.uuid4().hex[:8]}"
    if executor == "inline":
        here = assign(grammar, agents, placement=placement, seed=seed, threads=threads, record=record)
        return _inline(here, name, deadline)
    apart = placement or spread(grammar)
    assignment = assign(grammar, agents, placement=apart, seed=seed, threads=threads, record=record)
    return _ray(assignment, name, transport, deadline, address, num_cpus)


@typed
def agent(
    optimizer: str = "Adam",
    *,
    agent: str | Callable[..., Any] = "torch",  # Any: whatever the agent takes
    every: Count = 1,
    start: Natural = 0,
    clip_norm: Positive | None = None,
    clip_value: Positive | None = None,
    scheduler: str | None = None,
    scheduler_arguments: Mapping[str, Any] | None = None,
    on_failure: OnFailure = "fail",
    **arguments: Any,  # Any: whatever the optimizer or the agent takes
) -> AgentSpecification:
    """How a player optimizes, in one line: a torch optimizer, or an `agent` of one's own; see `AgentSpecification`.

    >>> agent("SGD", lr=0.1, momentum=0.9, clip_norm=1.0).description
    'SGD(lr=0.1, momentum=0.9), norm <= 1.0'
    >>> agent("Adam", lr=0.1, scheduler="StepLR", scheduler_arguments={"step_size": 100}).description
    'Adam(lr=0.1), StepLR(step_size=100)'
    >>> agent(agent="my_package:MyOptimizer", rate=0.1).description
    'my_package:MyOptimizer(rate=0.1)'
    """
    cadence = Cadence(every, start)
    return AgentSpecification.of(
        optimizer,
        arguments,
        agent=agent,
        clip_norm=clip_norm,
        clip_value=clip_value,
        scheduler=scheduler,
        scheduler_arguments=scheduler_arguments,
        cadence=cadence,
        on_failure=on_failure,
    )


def _inline(assignment: Assignment, name: str, deadline: float) -> Launched:
    scope = ExitStack()
    executor = scope.enter_context(InlineExecutor(assignment, deadline=deadline))
    here = dict.fromkeys(assignment.placement.names, (socket.gethostname(), os.getpid()))
    return Launched(executor, name, here, scope)


def _ray(
    assignment: Assignment, name: str, transport: str, deadline: float, address: str | None, num_cpus: int | None
) -> Launched:
    # Imported here, so that playing inline never pays for Ray.
    import ray

    from antiphon.coordinator.connection import Transport
    from antiphon.deploy.bundles import bundles_of, cpus_for, gpus_for
    from antiphon.deploy.cluster import own_machine
    from antiphon.deploy.embedded import ray_session
    from antiphon.deploy.executor import RayExecutor
    from antiphon.deploy.satisfiable import refuse_unsatisfiable

    with contextlib.ExitStack() as scope:
        # As many logical CPUs as processes: Ray starts no more than that at once, however quickly they would be ready.
        placement = assignment.placement
        cpus, gpus = num_cpus or max(os.cpu_count() or 1, cpus_for(placement)), gpus_for(placement)
        if address in (None, "local") and not ray.is_initialized():
            refuse_unsatisfiable(bundles_of(placement), [own_machine(cpus, gpus)], placement.strategy)
        scope.enter_context(ray_session(address, cpus, gpus))
        executor = RayExecutor(assignment, name, transport=Transport(transport), deadline=deadline)
        scope.enter_context(executor)
        places = ray.get([worker.address.remote() for worker in executor.workers.values()])
        return Launched(executor, name, dict(zip(executor.workers, places, strict=True)), scope.pop_all())
