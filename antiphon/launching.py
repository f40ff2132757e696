"""Launch a grammar: make all its players and oracles, ready to run rounds."""

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TypeAlias, final

from antiphon.agents.specification import AgentSpecification, OnFailure
from antiphon.coordinator.checkpoint import Labels, Manifest
from antiphon.coordinator.executor import Executor, Played
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, OnNonfinite, assign
from antiphon.coordinator.plan.figures import Figure
from antiphon.coordinator.plan.placement import Placement, spread
from antiphon.coordinator.plan.staleness import Staleness
from antiphon.coordinator.plan.step_order import OrderName
from antiphon.coordinator.storage import Place
from antiphon.envs.available_memory import available_memory
from antiphon.errors import PlacementError
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.numbers import Count, Natural, Positive, Seconds, Threads
from antiphon.grammars.oracle import State
from antiphon.grammars.typed import typed
from antiphon.transport.message import Edge
from antiphon.transport.shared_pair import SharedLayout

ExecutorName: TypeAlias = Literal["inline", "ray"]
TransportName: TypeAlias = Literal["process-group", "object-store"]
ChecksumChoice: TypeAlias = bool | Literal["between-machines"]
Agents: TypeAlias = Mapping[str, AgentSpecification] | AgentSpecification


@final
class Launched:
    """A launched grammar: its players and oracles exist, in this process or on Ray, and can run rounds.

    Use it in a `with` statement, or call `close`.
    name: the run's name; under Ray its actors are in the namespace `antiphon-<name>`.
    places: host name and process id of each worker at the start.
    """

    def __init__(self, executor: Executor, name: str, places: Mapping[str, tuple[str, int]], scope: ExitStack) -> None:
        self.name, self.places = name, places
        self._executor, self._scope = executor, scope

    @property
    def assignment(self) -> Assignment:
        """The grammar with its placement, schedule, agents and seed."""
        return self._executor.assignment

    @property
    def round(self) -> int:
        """The number of the next round to run; rounds are counted from 0."""
        return self._executor.round

    @property
    def ending(self) -> bool:
        """Whether the command `antiphon stop` has asked this run to end. The caller should then run no more rounds."""
        return self._executor.ending

    @typed
    def play(self, rounds: Natural) -> Played:
        """Run the next `rounds` rounds, and return their losses and other results. Blocks until they are done."""
        return self._executor.play(int(rounds))

    def states(self, learned: bool = False) -> Mapping[str, State]:
        """Return the state of each player, clone and oracle, by name. learned: only what an evaluation needs."""
        return self._executor.states(learned)

    @typed
    def load(self, states: Mapping[str, State], round: Natural) -> None:
        """Set the states of all players, clones and oracles. round: number of the next round to run."""
        self._executor.load(states, int(round))

    @typed
    def save(self, folder: Path | str) -> None:
        """Write a checkpoint (the states of all players, clones and oracles) into `folder`.

        folder: a path, or an address of fsspec such as `s3://bucket/run`.
        """
        self._executor.save(folder)

    def begin_save(self, folder: Place, labels: Labels) -> Future[Manifest]:
        """Copy all states now, and write them into the existing `folder` while the next rounds play.

        labels: further contents of the manifest. The future has the manifest, or the exception of the writing.
        """
        return self._executor.begin_save(folder, labels)

    def close(self) -> None:
        """Stop all workers, and then Ray if `launch` started it. May be called twice."""
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
    checksum: ChecksumChoice = "between-machines",
    run: str | None = None,
    address: str | None = None,
    num_cpus: Threads | None = None,
    order: OrderName | None = None,
    microbatches: Count = 1,
    staleness: Staleness = 0,
    record: bool = False,
    max_recoveries: Natural = 20,
    history: Path | str | None = None,
    on_nonfinite: OnNonfinite = "fail",
    figures: tuple[Figure, ...] = (),
) -> Launched:
    """Make all players, oracles and losses of a grammar, ready to run rounds.

    The same grammar, agents and seed give the same numbers on both executors.
    agents: one specification per player, or one for all. The default is Adam with torch's default arguments.
    executor: "inline" runs in this process. "ray" starts one actor per worker, on the Ray instance that this process
    is connected to, on the cluster at `address`, or on a new local Ray with `num_cpus` logical CPUs.
    placement: which worker hosts which part, and with which resources (`spread`, `together`, `place`). The default is
    one worker for each player, oracle and loss with "ray", and one worker for all with "inline".
    order, microbatches: the pipeline schedule of a round, and the number of micro-batches. The gradients are those of
    the whole batch.
    staleness: how many rounds old the parameters of queries are, so that rounds overlap: one number for all passes of
    the Query graph, or one by pass. A response is the gradient at the parameters of its query. With 0, queries use the
    newest parameters.
    threads: torch threads of each worker. deadline: seconds to wait for a message. checksum: which messages
    between workers carry a CRC32C, so that damaged messages are refused: all (true), none (false), or those that may
    cross a network. record: whether to record the times of all actions (`Played.recording`).
    max_recoveries: how often in an hour a run on Ray continues from its last checkpoint, after a process has died or
    stalled. history: file of the run's history (`history.jsonl` of a run folder). For a resumed run, give its old file.
    on_nonfinite: what happens if a value of a round becomes NaN or infinite (docs/rounds.md, "NaN and infinity").
    figures: numbers about players that each batch of rounds measures once, for its reports (`figures_of`).
    run: the run's name, unique on the cluster. address: address of a Ray cluster, or "local" to start Ray on this
    machine. Raises ExperimentError, ClusterError, VersionError, PlacementError, OracleError, AgentError or
    TransportError, and then leaves nothing running.
    """
    name = run or f"{grammar.name}-{uuid.uuid4().hex[:8]}"
    apart = placement or (spread(grammar) if executor == "ray" else None)
    plan: Any = {"order": order, "microbatches": microbatches, "staleness": staleness}  # Any: of several types
    plan |= {"record": record, "on_nonfinite": on_nonfinite, "figures": figures}
    assignment = assign(grammar, agents, placement=apart, seed=seed, threads=threads, **plan)
    if executor == "inline":
        return _inline(assignment, name, deadline)
    settings = {"transport": transport, "deadline": deadline, "checksum": checksum, "history": history}
    return _ray(assignment, name, settings, address, num_cpus, int(max_recoveries))


@typed
def agent(
    optimizer: str = "Adam",
    *,
    agent: str | Callable[..., Any] = "torch",  # Any: the parameters of the agent class
    every: Count = 1,
    start: Natural = 0,
    clip_norm: Positive | None = None,
    clip_value: Positive | None = None,
    scheduler: str | None = None,
    scheduler_arguments: Mapping[str, Any] | None = None,
    on_failure: OnFailure = "fail",
    patience: Seconds | None = None,
    **arguments: Any,  # Any: arguments of the optimizer or the agent
) -> AgentSpecification:
    """Specify the optimizer of a player: a torch optimizer, or your own class.

    optimizer: name of a torch optimizer. agent: "torch"; or your own class, or "module:Class", instead of a torch
    optimizer. every, start: the rounds in which the parameters are updated. clip_*, scheduler*: for torch optimizers.
    on_failure: after a failure of your own class: end the run ("fail"), skip the update ("skip"), or also make a new
    agent ("restart"). patience: seconds within which your own class must hear and move; a longer call is a failure.
    arguments: arguments of the optimizer, or of your own class.

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
        patience=patience,
    )


def _inline(assignment: Assignment, name: str, deadline: float) -> Launched:
    scope = ExitStack()
    executor = scope.enter_context(InlineExecutor(assignment, deadline=deadline))
    here = dict.fromkeys(assignment.placement.names, (socket.gethostname(), os.getpid()))
    return Launched(executor, name, here, scope)


def _ray(
    assignment: Assignment,
    name: str,
    settings: dict[str, Any],  # Any: settings of `RayExecutor`
    address: str | None,
    num_cpus: int | None,
    max_recoveries: int,
) -> Launched:
    # Imported here, so that inline runs do not import Ray.
    import ray

    from antiphon.coordinator.connection import Transport
    from antiphon.coordinator.history import History
    from antiphon.deploy.bundles import bundles_of, cpus_for, gpus_for
    from antiphon.deploy.cluster import own_machine
    from antiphon.deploy.embedded import ray_session
    from antiphon.deploy.executor import RayExecutor
    from antiphon.deploy.recovery import RecoveringExecutor
    from antiphon.deploy.satisfiable import refuse_unsatisfiable

    with contextlib.ExitStack() as scope:
        # At least one logical CPU per process: Ray starts no more processes than that at the same time.
        placement = assignment.placement
        cpus, gpus = num_cpus or max(os.cpu_count() or 1, cpus_for(placement)), gpus_for(placement)
        if address in (None, "local") and not ray.is_initialized():
            refuse_unsatisfiable(bundles_of(placement), [own_machine(cpus, gpus)], placement.strategy)
            _refuse_beyond_memory(assignment.schedule.edges.values())
        scope.enter_context(ray_session(address, cpus, gpus))
        path = None if settings["history"] is None else Path(settings["history"])
        settings |= {"transport": Transport(settings["transport"]), "history": History(path)}
        executor = RecoveringExecutor(RayExecutor(assignment, name, **settings), max_recoveries)
        scope.enter_context(executor)
        places = ray.get([worker.address.remote() for worker in executor.workers.values()])
        return Launched(executor, name, dict(zip(executor.workers, places, strict=True)), scope.pop_all())


def _refuse_beyond_memory(edges: Iterable[Edge]) -> None:
    """Raise PlacementError if the buffers of all edges need more memory than this machine has available."""
    needed, available = SharedLayout(list(edges)).size, available_memory()
    if available is not None and needed > available:
        raise PlacementError(
            f"the messages between the workers need buffers of {needed} bytes; expected at most the {available} bytes "
            "of memory that are available on this machine. Make the batch smaller, let players share workers (`fuse`), "
            "or use a machine with more memory."
        )
