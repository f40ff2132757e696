"""The objects that live on one worker: players, agents, clones, oracles, and the operators that compute with them."""

import copy
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from antiphon.agents.clone import Clone
from antiphon.agents.past_parameters import PastParameters
from antiphon.agents.player import Player, refuse_shared
from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.devices import CPU, generators, operator_on
from antiphon.coordinator.heap import keep_freed_memory
from antiphon.coordinator.past import Past
from antiphon.coordinator.plan.assignment import Assignment, for_any_placement
from antiphon.coordinator.plan.placement import Precision
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.steps import Part, Query, Respond, Share
from antiphon.coordinator.streams import Begin, beginning, draws_from_torch_alone, is_of_antiphon
from antiphon.coordinator.values import digest
from antiphon.errors import FOREIGN, AntiphonError, OracleError, ProtocolError, unstopped
from antiphon.grammars.derived import viewed
from antiphon.grammars.oracle import Box, Oracle, State
from antiphon.grammars.query import CloneDeclaration, Kind, NamedOracle, Node, PlayerDeclaration
from antiphon.grammars.response import Map, Product, ResponseNode
from antiphon.grammars.seeds import making, stream
from antiphon.grammars.states import map_tensors
from antiphon.oracles.answers import answer_check
from antiphon.oracles.autocast import Autocast
from antiphon.oracles.operator import Operator, aligned
from antiphon.oracles.truncated_scan import truncated_as


class Hosted:
    """The players, agents, clones, oracles and operators that live on one worker."""

    def __init__(self, assignment: Assignment, worker: str, device: torch.device = CPU) -> None:
        """Make all objects of `worker`. Players, operators and losses compute on `device`, oracles on the CPU."""
        keep_freed_memory()
        self._assignment, self._grammar, self.worker, self.device = assignment, assignment.grammar, worker, device
        self._shares = _shares(assignment.schedule, worker)
        self._sharded: frozenset[str] = frozenset()
        query, here, away = self._grammar.query, assignment.placement.hosts_on[worker], assignment.placement.agent_of
        agents = assignment.agents
        self.players = {
            player.name: self._player(player, None if player.name in away else agents[player.name])
            for player in query.players
            if player.name in here
        }
        # The same factory and seed give this copy the parameters that the operator starts from.
        self.agents = {
            name: self._player(query.player_by_name[name], agents[name]) for name, at in away.items() if at == worker
        }
        self.oracles = {oracle.name: self._oracle(oracle) for oracle in query.oracles if oracle.name in here}
        self.clones = {clone.name: self._clone(clone) for clone in query.clones if clone.player in self.players}
        self.past, self._turn = Past(assignment, self.players, self.clones), 0
        self._operators: dict[tuple[str, Share | None], Operator] = {}
        self._round = 0
        self.torch_alone = True  # whether all code begun here draws from torch's streams alone
        refuse_shared(self.players)

    def of_turn(self, turn: int) -> "Hosted":
        """Return a view of the same objects for the rounds r with r = `turn` modulo the number of rounds in flight.

        The view has its own operators. They use the parameters that the schedule prescribes for these rounds.
        """
        view = copy.copy(self)
        view._turn, view._operators, view.torch_alone = turn, {}, True
        return view

    def begins_query(self, node: Node, microbatch: Share | None = None) -> Begin:
        """Return a function of the round that seeds the random streams for a node of the Query graph.

        It is called before the code of the node runs. Each replica and each micro-batch has its own seed.
        """
        own = [_nth(share) for share in (self._shares.get(node.name), microbatch) if share]
        return self._begin(draws_from_torch_alone(self.code(node)), "node", node.draws_as, *own)

    def begins_response(self, node: ResponseNode, microbatch: Share | None = None) -> Begin | None:
        """Return a function of the round that seeds the random streams for a node of the Response graph.

        Returns None if the node draws no random numbers: a sum, antiphon's own functions, and backward passes of
        operators of torch and antiphon.
        """
        match node:
            case Product(of=of):
                draws = not draws_from_torch_alone(self.code(self._grammar.query.by_name[of]))
            case Map(operation=operation):
                draws = not is_of_antiphon(operation)
            case _:
                draws = False
        own = [_nth(microbatch)] if microbatch else []
        return self._begin(False, "response", node.name, *own) if draws else None

    def begins_agent(self, what: str, player: str) -> Begin | None:
        """Return a function of the round that seeds the random streams for an agent (the optimizer of a player).

        what: "hear" if the agent next receives a gradient, "agent" if it next updates the parameters. All replicas get
        the same seed. Returns None for torch's optimizers, which draw no random numbers.
        """
        specification = self._assignment.agents[player]
        return None if specification.in_place else self._begin(False, what, player)

    def code(self, node: Node) -> object:
        """Return the object whose code runs when `node` is queried: a module, an oracle or a factory."""
        if (older := self.past.module(node, self._turn)) is not None:
            return older
        match node.kind:
            case Kind.PLAYER:
                return self.players[node.owner].module
            case Kind.CLONE:
                return self.clones[node.owner].module
            case Kind.ORACLE:
                return self.oracles[node.owner]
            case _:
                return node.operator

    def _begin(self, torch_alone: bool, *names: str) -> Begin:
        self.torch_alone &= torch_alone
        return beginning(stream(self._assignment.seed, *names), generators(self.device), torch_alone)

    def agent_of(self, player: str) -> Player:
        """Return the `Player` object of `player` on this worker, with its module and its agent (optimizer).

        If another worker plays the player's module, and only the agent is on this worker, the object holds a second
        copy of the module. The agent updates the parameters of this copy.
        """
        return self.agents.get(player) or self.players[player]

    def operator(self, node: Node, microbatch: Share | None = None) -> Operator:
        """Make the operator that queries one node of the Query graph, or one micro-batch of the node.

        The operator can also compute the vector-Jacobian products of the node that the Response graph contains.
        """
        products = self._products.get(node.name, [])
        toward = sorted({index for product in products for index in product.toward})
        parameters = any(product.parameters for product in products)
        share = self._shares.get(node.name)
        shapes = [each.sized(self._grammar.query.sizes) for each in node.outputs]
        parts = [part for part in (microbatch, share) if part and node.kind is not Kind.LOSS]
        return Operator(
            f"{node.kind} {node.name!r}",
            self._function(node),
            [
                (functools.reduce(lambda whole, part: part.shape(whole), parts, shape), each.dtype)
                for shape, each in zip(shapes, node.outputs, strict=True)
            ],
            len(node.inputs),
            toward,
            (self.past.learned(node, self._turn) or self.players[node.owner].parameters) if parameters else (),
            self._answers[node.name, microbatch],
            len(products) == 1,
            node.owner in self._sharded,
            self._responses[node.owner] <= 1 and share is None,
            self.device if node.owner in self._assignment.placement.recomputed else None,
            self.begins_query(node, microbatch),
        )

    def answer(
        self, node: Node, microbatch: Share | None = None
    ) -> Callable[[Sequence[Tensor], int], tuple[Tensor, ...]]:
        """Return a function (inputs, round) -> outputs that queries `node`.

        It seeds the random streams, and checks the answers of oracles.
        """
        if node.kind is not Kind.ORACLE:
            return self.gray_box(node, microbatch).query
        if self._grammar.query.box_of(node) is not Box.BLACK:
            return partial(self._gray_answer, self.gray_box(node))
        ask, begin = self._asking(node), self.begins_query(node, microbatch)

        def answer(inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
            begin(round)
            return tuple([aligned(value) for value in ask(inputs, round)])

        return answer

    def gray_box(self, node: Node, microbatch: Share | None = None) -> Operator:
        """Return the operator of `node`. The first call makes the operator; later calls return the same operator."""
        key = node.name, microbatch
        if key not in self._operators:
            self._operators[key] = self.operator(node, microbatch)
        return self._operators[key]

    def forget(self) -> None:
        """Drop the data that all operators kept from their last query. A response then needs a new query."""
        for operator in self._operators.values():
            operator.forget()

    def state(self, learned: bool = False) -> dict[str, State]:
        """Return copies of the states of this worker's players, agents, clones and oracles, by name, on the CPU.

        The first replica of a worker returns all states, the other replicas return an empty dict. If players are
        sharded, this is a collective call: all of their replicas must make it together. learned: see `Executor.states`.
        """
        first = self.worker in dict(self._assignment.placement.workers)
        found = {name: each for name, each in self._stateful().items() if first or name in self._sharded}
        asked = {name: state for name, each in found.items() if (state := _learned(each) if learned else each.state)}
        # A copy: code of a user may return tensors that it goes on to change.
        states = {name: map_tensors(state(), lambda value: value.to(CPU, copy=True)) for name, state in asked.items()}
        return {name: state for name, state in states.items() if state or not learned} if first else {}

    @property
    def shared(self) -> tuple[str, ...]:
        """All replicas of this worker, including itself, if it holds shards of sharded players; else empty."""
        at_home = {self._assignment.placement.host_of[name] for name in self._assignment.placement.sharded}
        groups = (group for at, group in self._assignment.placement.replicas_of.items() if at in at_home)
        return next((group for group in groups if self.worker in group), ())

    def shard(self, mesh: DeviceMesh) -> None:
        """Replace each parameter of this worker's sharded players by its local shard. Call it before any query."""
        for name in self._assignment.placement.sharded:
            if name in self.players:
                self.players[name].shard(mesh)
        self._sharded = frozenset(self._assignment.placement.sharded)

    def digests(self) -> dict[str, str]:
        """Return a digest of the parameters of each replicated player on this worker, by player.

        Two replicas with equal parameters, bit by bit, have equal digests. Sharded players are left out, because each
        replica holds a different shard.
        """
        if self.worker not in self._assignment.placement.replicated:
            return {}
        whole = {name: player for name, player in self.players.items() if name not in self._sharded}
        return {name: digest(player.parameters) for name, player in whole.items()}

    def load(self, states: Mapping[str, State]) -> None:
        """Load states that the method `state` returned into this worker's objects. Other states are ignored.

        Raises ProtocolError if a state is missing or does not fit its object.
        """
        mine, states = self._stateful(), for_any_placement(states)
        missing = [name for name in mine if name not in states]
        if missing:
            raise ProtocolError(
                f"worker {self.worker!r} was to load states of {sorted(states)}, without one of {missing[0]!r}; "
                f"expected one of each of {sorted(mine)}. Load what `states` of the same grammar returned."
            )
        for name, each in mine.items():
            try:
                with self._making("load", name):
                    each.load(states[name])
            except (KeyError, TypeError, AttributeError, IndexError) as error:
                raise ProtocolError(
                    f"{name!r} was to load a state that is not its own ({type(error).__name__}: {error}); expected "
                    "what `states` of the same grammar returned. Load that."
                ) from error

    def _stateful(self) -> dict[str, Player | Clone | Oracle | PastParameters]:
        """Return this worker's objects with a state, by name: `player@agent` for an agent without its module."""
        apart = {f"{name}@agent": agent for name, agent in self.agents.items()}
        past = {f"{name}@past": each for name, each in self.past.kept.items()}
        return {**self.players, **apart, **past, **self.clones, **self.oracles}

    def report(self) -> dict[str, dict[str, float]]:
        """Return the numbers that each oracle and agent reports, by oracle and player. Empty reports are left out.

        The torch agents, which work in place, are asked only if the assignment asks for figures.
        """
        hosts = {name: player.host for name, player in {**self.players, **self.agents}.items() if player.host}
        told = {name: host for name, host in hosts.items() if self._assignment.figures or not host.in_place}
        asked = {**self.oracles, **told}
        reports = {name: dict(each.report()) for name, each in asked.items()}
        return {name: report for name, report in reports.items() if report}

    def close(self) -> None:
        """Close all oracles of this worker."""
        for oracle in self.oracles.values():
            oracle.close()

    @cached_property
    def _products(self) -> Mapping[str, Sequence[Product]]:
        """For each node of the Query graph: the vector-Jacobian products of the Response graph at this node."""
        found: dict[str, list[Product]] = {}
        for each in self._grammar.response.nodes:
            if isinstance(each, Product):
                found.setdefault(each.of, []).append(each)
        return found

    @cached_property
    def _responded(self) -> list[tuple[Respond, Product]]:
        """The steps of this worker that compute a vector-Jacobian product, each with the product's node."""
        own = (each for each in self._assignment.schedule.steps if isinstance(each, Respond))
        nodes = ((each, self._grammar.response.by_name[each.node]) for each in own if each.worker == self.worker)
        return [(step, node) for step, node in nodes if isinstance(node, Product)]

    @cached_property
    def _answers(self) -> Counter[tuple[str, Share | None]]:
        """The number of responses of each operator on this worker, by (node, micro-batch), if all steps are due."""
        return Counter((product.of, step.writes[0].microbatch) for step, product in self._responded)

    @cached_property
    def _responses(self) -> Counter[str]:
        """The number of parameter gradients that each player gets on this worker, if all steps are due."""
        owners = {node.name: node.owner for node in self._grammar.query.nodes if node.kind is Kind.PLAYER}
        own = (each.of for step, each in self._responded if each.parameters and step.part is not Part.UPSTREAM)
        return Counter(owners.get(node, "") for node in own)

    def _player(self, player: PlayerDeclaration, agent: AgentSpecification | None) -> Player:
        seed = stream(self._assignment.seed, "player", player.seeded_as)
        with self._making("agent", player.name):
            return Player(player.name, player.factory, agent, seed, self.device)

    def _oracle(self, oracle: NamedOracle) -> Oracle:
        try:
            with self._making("oracle", oracle.name):
                return oracle.declaration.make(stream(self._assignment.seed, "oracle", oracle.name))
        except AntiphonError:
            raise
        except FOREIGN as error:
            raise OracleError(
                f"oracle {oracle.name!r} cannot be made from {oracle.declaration.factory!r}: {type(error).__name__}: "
                f"{unstopped(error)}. Expected a factory that takes its arguments and a seed; correct them."
            ) from error

    def _clone(self, clone: CloneDeclaration) -> Clone:
        with self._making("clone", clone.name):
            return Clone(self.players[clone.player], clone.soft)

    @contextmanager
    def _making(self, what: str, name: str) -> Iterator[None]:
        """Return a context for making or loading an object, with its own random streams and the run's settings."""
        try:
            with self._assignment.state.entered(), making(self._assignment.seed, what, name):
                yield
        except AntiphonError as error:
            error.add_note(f"when {name!r} was made or loaded on worker {self.worker!r}")
            raise

    def _function(self, node: Node) -> Callable[..., Any]:  # Any: what an operator plays
        match node.kind:
            case Kind.PLAYER | Kind.CLONE:
                player_of = {clone.name: clone.player for clone in self._grammar.query.clones}
                module = viewed(node.view, truncated_as(self._products.get(node.name, ()), self.code(node)))
                return self._in_precision(player_of.get(node.owner, node.owner), module, node)
            case Kind.ORACLE:
                ask = self._asking(node)
                return viewed(node.view, lambda *values: ask(values, self._round))
            case _:
                assert node.operator is not None  # Q's operators and losses have one
                return viewed(node.view, operator_on(node.operator, self.device))

    def _in_precision(self, player: str, module: Any, node: Node) -> Callable[..., Any]:  # Any: a module; outputs
        precision = dict(self._assignment.placement.precision).get(player, Precision.DECLARED)
        if precision is Precision.DECLARED:
            return module
        dtype = {Precision.BFLOAT16: torch.bfloat16, Precision.FLOAT16: torch.float16}[precision]
        return Autocast(module, self.device.type, dtype, [each.dtype for each in node.outputs])

    def _gray_answer(self, box: Operator, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        self._round = round  # an operator's function takes values only, but an oracle needs the round too
        return box.query(inputs, round)

    def _asking(self, node: Node) -> Callable[[Sequence[Tensor], int], tuple[Tensor, ...]]:
        """Return a function that asks the oracle of `node` the question of this node, and checks the answer."""
        query, on_host, oracle = self._grammar.query, self.device == CPU, self.oracles[node.owner]
        answer = oracle.answer
        if not draws_from_torch_alone(oracle):
            answer = torch.enable_grad()(answer)  # code of users, and a round records nothing
        question = query.question_of(node)
        name, checked = question.name, answer_check(node.owner, question, query.sizes)

        def ask(inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
            inputs = inputs if on_host else [value.to(CPU) for value in inputs]
            answers = checked(answer(name, inputs, round))
            return answers if on_host else tuple(value.to(self.device) for value in answers)

        return ask


def _learned(stateful: Player | Clone | Oracle | PastParameters) -> Callable[[], State] | None:
    """Return the method that returns what an evaluation needs; None if it needs nothing of this object."""
    return stateful.state if isinstance(stateful, Player) else getattr(stateful, "learned", None)


def _shares(schedule: Schedule, worker: str) -> Mapping[str, Share]:
    """Return, by node, the slice of the batch that `worker` computes. Nodes that are not divided are left out."""
    mine = (step for step in schedule.steps if isinstance(step, Query) and step.worker == worker)
    return {step.node: slot.share for step in mine for slot in step.writes if slot.share is not None}


def _nth(share: Share) -> str:
    return f"{share.index} of {share.of}"
