"""Writes a Query graph: a handle stands for a player, an oracle or an operator, and calling it on values draws
edges.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars.asking import check_inputs, check_parameters, check_values
from antiphon.grammars.brick import ENTRANCE, Brick
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import Inferred, infer, make_module, make_operator
from antiphon.grammars.names import fault_of
from antiphon.grammars.no_tensor import NoTensor
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.query import (
    CloneDeclaration,
    Kind,
    NamedOracle,
    Node,
    PlayerDeclaration,
    Port,
    QueryGraph,
    QueryPass,
    Use,
    refuse_conflicting_sizes,
)
from antiphon.grammars.sampling import Made, SampleValues
from antiphon.grammars.stochastic import StochasticHandle
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType, Sizes


@dataclass(frozen=True)
class Value(NoTensor):
    """One output of a node in a draft of a Query graph. Pass it to a handle to draw an edge."""

    _remedy = "Write an operator, such as q.operator(name, torch.neg)(value)."

    port: Port
    type: EdgeType

    def __repr__(self) -> str:
        return f"{self.port!r}: {self.type!r}"


@typed
class QueryDraft:
    """A Query graph that is being written. Each call of a handle infers the types of its outputs at once, so an error
    points to the line of the call.

    >>> import torch
    >>> from antiphon.grammars.oracle import OracleDeclaration, Question
    >>> from antiphon.grammars.types import Batch, EdgeType
    >>> points = EdgeType((Batch(), 2))
    >>> q = QueryDraft()
    >>> x = q.oracle("Nature", OracleDeclaration(Factory.of(object), (Question("sample", (), (points,)),)))()
    >>> q.player("Layer", torch.nn.Linear, 2, 3)(x)
    Layer: float32[batch, 3]
    """

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._values: dict[Port, Value] = {}
        self._players: dict[str, PlayerDeclaration | None] = {}
        self._factories: dict[str, Factory] = {}
        self._oracles: list[NamedOracle] = []
        self._clones: list[CloneDeclaration] = []
        self._passes: list[QueryPass] = []
        self._pass = ""
        self._within: tuple[Use, ...] = ()
        self._names: set[str] = set()
        self._uses: Counter[str] = Counter()
        self._samples = SampleValues()

    @property
    def sizes(self) -> Sizes:
        """The size of every symbolic dimension that an oracle has declared so far."""
        return {symbol: size for oracle in self._oracles for symbol, size in oracle.declaration.sizes}

    @typed
    def oracle(self, name: str, declaration: OracleDeclaration) -> "OracleHandle":
        """Declare an oracle, and return its handle.

        A method of the handle asks the question of that name (`nature.observe()`). A call of the handle asks the first
        question.
        """
        self._take(name)
        self._oracles.append(NamedOracle(name, declaration))
        refuse_conflicting_sizes(self._oracles)
        return OracleHandle(self, name, declaration)

    def player(
        self, name: str, module: Callable[..., Any] | Factory | Brick, *arguments: Any, **keywords: Any
    ) -> "PlayerHandle | BrickHandle":
        """Declare a player, and return its handle. Its operator `module(*arguments, **keywords)` is a `torch.nn.Module`
        that is made on the player's worker.

        The handle may be called several times: it is then one player that is asked several times. If `module` is a
        brick, several players are declared, whose names begin with `name`.
        """
        self._take(name)
        if isinstance(module, Brick):
            asked = self._handles(name, module, lambda owner: self.player(f"{name}.{owner}", module.players[owner]))
            return BrickHandle(self, name, module, asked)
        self._players[name] = None  # its types are inferred at its first use
        self._factories[name] = Factory.of(module, *arguments, **keywords)
        return PlayerHandle(self, name)

    @typed
    def clone(
        self, name: str, of: "PlayerHandle | BrickHandle", *, soft: float | None = None, cadence: Cadence = Cadence()
    ) -> "CloneHandle | BrickHandle":
        """Declare a copy of the player `of` (a target network), and return its handle. The copy follows the player
        after its moves.

        soft: the fraction in (0, 1] of the distance to the player that one step covers; None copies the player.
        cadence: the rounds in which the copy follows. The clone of a brick is a clone of each of its players.
        """
        self._take(name)
        if isinstance(of, BrickHandle):
            each = partial(self.clone, soft=soft, cadence=cadence)
            asked = self._handles(name, of.brick, lambda owner: each(f"{name}.{owner}", of.asked[owner]))
            return BrickHandle(self, name, of.brick, asked)
        self._clones.append(CloneDeclaration(name, of.name, soft, cadence))
        return CloneHandle(self, name, of.name)

    def operator(
        self, name: str, operation: Callable[..., Any] | Factory, *arguments: Any, **keywords: Any
    ) -> "OperatorHandle":
        """Declare an operator without parameters, and return its handle.

        operation: a module class, made with `arguments`; or a function, which takes the values and then `arguments`.
        """
        self._take(name)
        return OperatorHandle(self, name, Kind.OPERATOR, Factory.of(operation, *arguments, **keywords))

    def sample(
        self, name: str, density: Callable[..., Any] | Factory, *arguments: Any, **keywords: Any
    ) -> StochasticHandle:
        """Declare a node that draws its value at random. Return its handle: call it with the density's parameters.

        density: a class of `torch.distributions`, or a function that returns a distribution. It is called with the
        parameters, and then with `arguments`. The sample depends on the run's seed, the node and the round only.
        """
        self._take(name)
        return StochasticHandle(self, name, Factory.of(density, *arguments, **keywords))

    def loss(
        self, name: str, operation: Callable[..., Any] | Factory, *arguments: Any, **keywords: Any
    ) -> "OperatorHandle":
        """Declare a loss, and return its handle: an operator with one scalar output, a mean over the batch. Only losses
        can be part of an objective.
        """
        self._take(name)
        return OperatorHandle(self, name, Kind.LOSS, Factory.of(operation, *arguments, **keywords))

    @contextlib.contextmanager
    def query_pass(self, name: str, *, every: int = 1, start: int = 0) -> Iterator[None]:
        """A context: nodes that are asked inside it belong to the pass `name`, which is played in rounds of its own.

        The rounds are `start`, `start + every`, `start + 2 * every`, ... Raises GrammarError inside another pass.
        """
        if self._pass:
            raise GrammarError(
                f"pass {name!r} is opened inside pass {self._pass!r}; expected one pass at a time, since either may "
                "rest while the other plays. Close the first before."
            )
        self._passes.append(QueryPass(name, Cadence(every, start)))
        self._pass = name
        yield
        self._pass = ""

    def graph(self) -> QueryGraph:
        """Return the frozen Query graph. Raises GrammarError for a player that was declared and never asked."""
        silent = sorted(name for name, declaration in self._players.items() if declaration is None)
        if silent:
            raise GrammarError(
                f"player {silent[0]!r} is declared and never asked; expected at least one use in the Query graph. "
                "Call its handle on its inputs, or remove it."
            )
        used = {node.query_pass for node in self._nodes}
        passes = ([QueryPass(_DEFAULT_PASS)] if _DEFAULT_PASS in used else []) + self._passes
        players = tuple(player for player in self._players.values() if player is not None)
        return QueryGraph(tuple(self._nodes), players, tuple(self._oracles), tuple(self._clones), tuple(passes))

    def _handles(self, name: str, brick: Brick, declare: Callable[[str], Any]) -> Mapping[str, Any]:
        """Return a handle for each player and operator of the brick's nodes, by name.

        declare: the function that makes the handle of a player from its name.
        """
        asked: dict[str, Any] = {}
        for part in brick.parts:
            if part.owner not in asked and part.kind is Kind.PLAYER:
                asked[part.owner] = declare(part.owner)
            elif part.owner not in asked:
                asked[part.owner] = self.operator(f"{name}.{part.owner}", part.operation)
        return asked

    @contextlib.contextmanager
    def _using(self, brick: str) -> Iterator[None]:
        """Return a context for one more use of a brick. The nodes that are added inside it belong to that use."""
        before = self._within
        uses = {use for node in self._nodes for use in node.within if use.brick == brick}
        self._within = (*before, Use(brick, len(uses) + 1))
        try:
            yield
        finally:
            self._within = before

    def _take(self, name: str) -> None:
        if fault_of(name) or name in self._names:
            raise GrammarError(
                f"name {name!r} {fault_of(name) or 'is used twice'}; expected each player, oracle and operator of a "
                "Query graph to have a name of its own. Choose another, or reuse the handle to ask the same one again."
            )
        self._names.add(name)

    def _infer(self, who: str, made: Made, inputs: tuple[Value, ...]) -> Inferred:
        ports, types = [value.port for value in inputs], [value.type for value in inputs]
        # The nodes upstream may have symbolic dimensions that this node does not have.
        return infer(
            who, *made, types, self.sizes, lambda kind, sizes: self._samples.of(ports, kind, {**self.sizes, **sizes})
        )

    def _add(
        self,
        kind: Kind,
        owner: str,
        inputs: tuple[Value, ...],
        outputs: tuple[EdgeType, ...],
        made: Made | None = None,
        oracle: tuple[OracleDeclaration, str] | None = None,
        base: str = "",
        **more: Any,
    ) -> tuple[Value, ...]:  # Any: the fields of Node that some kinds have
        base = base or (f"{owner}.{more['question']}" if more.get("question") else owner)
        uses = self._uses[base]
        self._uses[base] += 1
        name = base if uses == 0 else f"{base}#{uses + 1}"
        query_pass = self._pass or _DEFAULT_PASS
        ports = tuple(value.port for value in inputs)
        self._samples.add(name, ports, outputs, made, oracle)
        self._nodes.append(Node(name, kind, owner, ports, outputs, query_pass, within=self._within, **more))
        values = tuple(Value(Port(name, index), each) for index, each in enumerate(outputs))
        self._values |= {value.port: value for value in values}
        return values


_DEFAULT_PASS = "round"


@dataclass(frozen=True)
class OracleHandle:
    """An oracle in a draft of a Query graph. Call it, or its method with a question's name, to ask the oracle."""

    draft: QueryDraft
    name: str
    declaration: OracleDeclaration

    def __call__(self, *inputs: Value, **keywords: Any) -> Any:  # Any: a Value, or a tuple of them for several outputs
        """Ask the first question that the oracle declares. Returns the answer: one value, or a tuple of values."""
        return self.ask(self.declaration.questions[0].name, *inputs, **keywords)

    def __getattr__(self, question: str) -> Callable[..., Any]:
        if question.startswith("_"):
            raise AttributeError(question)
        return partial(self.ask, question)

    def ask(self, question: str, *inputs: Value, **keywords: Any) -> Any:  # Any: as in __call__
        """Ask the oracle the question of this name.

        Raises GrammarError if the oracle does not declare this question, ShapeError for inputs of another type.
        """
        found = self.declaration.question(question)
        if found is None:
            known = sorted(each.name for each in self.declaration.questions)
            raise GrammarError(
                f"oracle {self.name!r} has no question {question!r}; expected one of {known}. Ask one of these."
            )
        check_values(f"oracle {self.name!r}, question {question!r},", self.draft._values, inputs, keywords)
        check_inputs(f"oracle {self.name!r}, question {question!r},", found, inputs, self.draft.sizes)
        asked = self.declaration, question
        played = self.draft._add(Kind.ORACLE, self.name, inputs, found.outputs, oracle=asked, question=question)
        return played[0] if len(played) == 1 else played


@dataclass(frozen=True)
class PlayerHandle:
    """A player in a draft of a Query graph. Call it on values to ask the player."""

    draft: QueryDraft
    name: str

    def __repr__(self) -> str:
        return f"player {self.name!r}"

    def __call__(self, *inputs: Value, **keywords: Any) -> Any:  # Any: as in OracleHandle.__call__
        """Ask the player: apply its operator to `inputs`, with its parameters of the round, and return the outputs."""
        check_values(f"player {self.name!r}", self.draft._values, inputs, keywords)
        factory = self.draft._factories[self.name]
        made = make_module, factory
        inferred = self.draft._infer(f"player {self.name!r}", made, inputs)
        check_parameters(self.name, factory, {each.dtype for each in inferred.parameters})
        self.draft._players[self.name] = PlayerDeclaration(self.name, factory, inferred.parameters)
        played = self.draft._add(Kind.PLAYER, self.name, inputs, inferred.outputs, made)
        return played[0] if inferred.single else played


@dataclass(frozen=True)
class CloneHandle:
    """A clone (a copy of a player) in a draft of a Query graph. Call it on values to ask the clone."""

    draft: QueryDraft
    name: str
    player: str

    def __call__(self, *inputs: Value, **keywords: Any) -> Any:  # Any: as in OracleHandle.__call__
        """Ask the clone: apply its operator to `inputs`. No gradient passes through the clone into its player."""
        check_values(f"clone {self.name!r}", self.draft._values, inputs, keywords)
        made = make_module, self.draft._factories[self.player]
        inferred = self.draft._infer(f"clone {self.name!r}", made, inputs)
        played = self.draft._add(Kind.CLONE, self.name, inputs, inferred.outputs, made)
        return played[0] if inferred.single else played


@dataclass(frozen=True)
class BrickHandle:
    """A brick (a group of players), or a clone of a brick, in a draft of a Query graph. Call it like a player's handle.

    asked: the handle of each player, clone and operator of the brick, by name.
    """

    draft: QueryDraft
    name: str
    brick: Brick
    asked: Mapping[str, Any]  # Any: handles of several kinds, all called on values

    def __call__(self, *inputs: Value, **keywords: Any) -> Any:  # Any: as in OracleHandle.__call__
        """Ask all nodes of the brick, in order, with `inputs` as the brick's inputs. Returns the brick's outputs."""
        check_values(f"brick {self.name!r}", self.draft._values, inputs, keywords)
        if len(inputs) != self.brick.inputs:
            raise ShapeError(
                f"brick {self.name!r} takes {self.brick.inputs} inputs and was given {len(inputs)}; "
                "expected a value for each. Pass exactly these."
            )
        values = {Port(ENTRANCE, index): value for index, value in enumerate(inputs)}
        with self.draft._using(self.name):
            for part in self.brick.parts:
                played = self.asked[part.owner](*(self._of(values, port) for port in part.inputs))
                outputs = (played,) if isinstance(played, Value) else played
                values |= {Port(part.name, index): value for index, value in enumerate(outputs)}
        played = tuple(self._of(values, port) for port in self.brick.outputs)
        return played[0] if len(played) == 1 else played

    def _of(self, values: Mapping[Port, Value], port: Port) -> Value:
        if port not in values:
            raise ShapeError(
                f"brick {self.name!r} needs {port!r}, but {port.node or 'its entrance'!r} has only "
                f"{sum(each.node == port.node for each in values)} outputs; expected one of these. "
                "Name another output of this part."
            )
        return values[port]


@dataclass(frozen=True)
class OperatorHandle:
    """An operator without parameters in a draft of a Query graph. Call it on values to apply it."""

    draft: QueryDraft
    name: str
    kind: Kind
    factory: Factory

    def __call__(self, *inputs: Value, **keywords: Any) -> Any:  # Any: as in OracleHandle.__call__
        """Apply the operator to values.

        Raises ShapeError if the shapes do not fit, or if a loss is no scalar; GrammarError for an operator with
        parameters.
        """
        check_values(f"{self.kind} {self.name!r}", self.draft._values, inputs, keywords)
        made = make_operator, self.factory
        inferred = self.draft._infer(f"{self.kind} {self.name!r}", made, inputs)
        if inferred.parameters:
            raise GrammarError(
                f"{self.kind} {self.name!r} has parameters of its own ({inferred.parameters[0].name!r}); "
                "expected a parameterless operator. Declare it as a player, so that its parameters can be learned."
            )
        if self.kind is Kind.LOSS and [each.shape for each in inferred.outputs] != [()]:
            raise ShapeError(
                f"loss {self.name!r} plays {', '.join(map(repr, inferred.outputs))}; expected one scalar of shape (). "
                "Return the mean over the batch."
            )
        played = self.draft._add(self.kind, self.name, inputs, inferred.outputs, made, operator=self.factory)
        return played[0] if inferred.single else played
