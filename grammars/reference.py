"""Computes the gradients of one round with torch's autograd, from the Query graph alone.

This module uses neither the Response graph nor an executor. So its gradients are an independent reference for checks of
executors and guarantees.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn

from antiphon.errors import GrammarError
from antiphon.grammars.attributes import attributes, set_attributes
from antiphon.grammars.derived import viewed
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Loss, PlayerLoss
from antiphon.grammars.inference import make_operator
from antiphon.grammars.module_state import load_module
from antiphon.grammars.oracle import Box, Oracle, State
from antiphon.grammars.promotion import as_declared
from antiphon.grammars.query import Kind, NamedOracle, Node, PlayerDeclaration, Port
from antiphon.grammars.seeds import at_round, begin_streams, forked, making, stream


@final
@dataclass(frozen=True)
class Composed:
    """All values of the Query graph in one round, as functions of the parameters of all players.

    modules: the modules of players and clones, by name, in training mode. values: the values by port, attached to
    torch's autograd graph. fixed: the values through which no gradient passes now; it changes in backward passes only.
    The gradients of a loss are computed in one backward pass for all players, and cached.
    """

    grammar: Grammar
    modules: Mapping[str, nn.Module]
    values: Mapping[Port, Tensor]
    fixed: set[Port] = field(default_factory=set, repr=False)
    _told: dict[Loss, dict[int, Tensor | None]] = field(default_factory=dict, init=False, repr=False)

    def loss(self, loss: Loss | None = None) -> Tensor:
        """Compute the value of a loss, 0-d. The player minimises it.

        loss: what a player minimises; None stands for all terms of the objective. An objective is the sum of its losses
        that were played in this round, where losses that are maximised have a minus sign. Raises GrammarError if the
        loss is no scalar, or if it takes a value that was not played in this round.
        """
        parts = list(self._parts(self.grammar.objective if loss is None else loss).values())
        return torch.stack(parts).sum() if parts else torch.zeros((), dtype=torch.float64)

    def _parts(self, loss: Loss) -> dict[frozenset[Port], Tensor]:
        """Return the terms of a loss, each 0-d, by the values that they hold fixed."""
        if isinstance(loss, PlayerLoss):
            return {frozenset(): self._own(loss)}
        found: dict[frozenset[Port], list[Tensor]] = {}
        for term in loss.terms:
            played = [term.sign * self.values[port] for port in term.losses if port in self.values]
            found.setdefault(frozenset(term.held), []).extend(played)
        return {held: torch.stack(terms).sum() for held, terms in found.items() if terms}

    def _own(self, loss: PlayerLoss) -> Tensor:
        strange = [port for port in loss.inputs if port not in self.values]
        if strange:
            raise GrammarError(
                f"a player's loss of grammar {self.grammar.name!r} takes {strange[0]!r}, which Q does not play in that "
                f"round; expected one of {sorted(map(repr, self.values))}. Refer to one of these."
            )
        modules = (self.modules[player] for player in loss.players)
        found = make_operator(loss.operation)(*modules, *(self.values[port] for port in loss.inputs))
        if not isinstance(found, Tensor) or found.dim() != 0:
            raise GrammarError(
                f"a player's loss of grammar {self.grammar.name!r}, {loss!r}, is {_described(found)}; expected a 0-d "
                "tensor. Return the mean over the batch."
            )
        return found

    def plays(self, loss: Loss | None = None) -> bool:
        """Whether every node of the Query graph that the loss takes was played in this round.

        For an objective (None: the grammar's): whether at least one of its losses was played.
        """
        if not isinstance(loss, PlayerLoss):
            return self.begins(loss)
        resting = (port for port in loss.inputs if port not in self.values)
        return not any(port.node in self.grammar.query.by_name for port in resting)

    def begins(self, loss: Loss | None = None) -> bool:
        """Whether at least one input of the loss, or one loss of an objective, was played in this round."""
        loss = self.grammar.objective if loss is None else loss
        return any(port in self.values for port in (loss.inputs if isinstance(loss, PlayerLoss) else loss.losses))

    def parameters(self, player: str) -> list[Tensor]:
        """The player's parameters that require a gradient, in the order of `named_parameters`."""
        return [each for each in self.modules[player].parameters() if each.requires_grad]

    def gradient(self, player: str, loss: Loss | None = None) -> list[Tensor]:
        """The gradient of a loss with respect to a player's parameters: one tensor per parameter, zeros if unused.

        loss: None for the player's own terms of the objective.
        """
        return self._gradients(self.grammar.objective.of(player) if loss is None else loss, self.parameters(player))

    def cotangents(self, ports: Iterable[Port], loss: Loss | None = None) -> dict[Port, Tensor]:
        """Return the gradient of a loss with respect to values of the Query graph, by port.

        Values that require no gradient are left out. By the chain rule, the gradient is the sum of all messages about
        the value. For a value that the loss holds fixed it is zero. loss: None for all terms of the objective.
        """
        wanted = [port for port in ports if self.values[port].requires_grad]
        loss = self.grammar.objective if loss is None else loss
        found = self._gradients(loss, [self.values[port] for port in wanted])
        return dict(zip(wanted, found, strict=True))

    def _gradients(self, loss: Loss, of: Sequence[Tensor]) -> list[Tensor]:
        told = self._told.setdefault(loss, {})
        if any(id(each) not in told for each in of):
            self._ask(loss, of, told)
        return [_dense(told[id(each)], each) for each in of]

    def _ask(self, loss: Loss, of: Sequence[Tensor], told: dict[int, Tensor | None]) -> None:
        """Compute gradients of a loss, and store them in `told`, by the id of the tensor.

        There is one backward pass for each set of values that a term of the loss holds fixed.
        of: tensors whose gradients are needed. If one of them is a value of the Query graph, the pass also computes the
        gradients of all other values; else those of all players with a promise about the loss. One pass for each player
        would walk the whole graph each time, so the cost of a check would be quadratic.
        """
        parameters = [each for player in self._promised.get(loss, ()) for each in self.parameters(player)]
        values = [each for each in self.values.values() if each.requires_grad]
        alike = values if any(each.grad_fn is not None for each in of) else parameters
        asked = list({id(each): each for each in (*of, *alike)}.values())
        total: dict[int, Tensor | None] = dict.fromkeys(map(id, asked))
        for held, value in self._parts(loss).items():
            if value.requires_grad:
                for each, gradient in zip(asked, self._backward(value, asked, held), strict=True):
                    before = total[id(each)]
                    total[id(each)] = gradient if before is None else before if gradient is None else before + gradient
        told.update(total)

    def _backward(self, value: Tensor, asked: Sequence[Tensor], held: frozenset[Port]) -> list[Tensor | None]:
        """Return the gradients of `value`, while the values at the ports `held` are constants."""
        self.fixed.update(held)
        try:
            found = torch.autograd.grad(value, asked, retain_graph=True, allow_unused=True)
        finally:
            self.fixed.clear()
        constants = {id(self.values[port]) for port in held if port in self.values}
        return [None if id(each) in constants else one for each, one in zip(asked, found, strict=True)]

    @functools.cached_property
    def _promised(self) -> Mapping[Loss, set[str]]:
        """Return, for each loss, the names of the players that have a promise about the loss."""
        found: dict[Loss, set[str]] = {}
        for promise in self.grammar.guarantee.promises:
            for player in promise.players or [player.name for player in self.grammar.query.players]:
                loss = getattr(promise, "loss", None) or self.grammar.objective.of(player)
                found.setdefault(loss, set()).add(player)
        return found


class _Fixable(torch.autograd.Function):
    """The identity. Its gradient is nothing while `port` is in the set `fixed`, and else that of the output."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, port: Port, fixed: set[Port]) -> Tensor:  # Any: torch's context
        """Return the value."""
        ctx.port, ctx.fixed = port, fixed
        return value.view_as(value)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,  # Any: torch's context
        gradient: Tensor,
    ) -> tuple[Tensor | None, None, None]:
        """Return the gradient, or None if the value is fixed now."""
        return None if ctx.port in ctx.fixed else gradient, None, None


def compose(
    grammar: Grammar,
    states: Mapping[str, State],
    seed: int = 0,
    round: int = 0,
    played: Mapping[Port, Tensor] | None = None,
    jolt: Callable[[Tensor], Tensor] | None = None,
    modules: Mapping[str, nn.Module] | None = None,
) -> Composed:
    """Compute all values of the Query graph in round `round` of a run with seed `seed`, attached to torch's autograd
    graph.

    states: the states of players, clones and oracles at the start of the round, by name, as an executor saves them.
    played: the recorded values of the round, by port. It must contain all outputs of black boxes, and the first output
    of every other node that was played. A node without an entry is left out. Only the answers of black boxes are used;
    all other values are computed again. If `played` is None, all nodes are played, and black boxes are made and asked,
    too. Their answers are those of the run only if they depend on seed and round alone.
    Gray boxes are always made anew, given their state, and asked again, so that they can be differentiated.
    jolt: a small change, such as rounding noise. It is applied to every value that requires a gradient, before the
    value is used; None applies nothing.
    modules: the modules of players and clones, as `modules_of` returns them, if they are made already. The forward
    passes may change their buffers.
    """
    modules = modules_of(grammar, states, seed) if modules is None else modules
    asked = {node.owner for node in grammar.query.nodes if played is None or grammar.query.box_of(node) is Box.GRAY}
    oracles = {each.name: _oracle(each, seed) for each in grammar.query.oracles if each.name in asked}
    for name, oracle in oracles.items():
        if name in states:
            oracle.load(states[name])
    values: dict[Port, Tensor] = {}
    fixed: set[Port] = set()
    with forked():
        for node in grammar.query.nodes:
            if played is None or Port(node.name) in played:
                outputs = play(grammar, node, modules, oracles, values, played, seed, round)
                outputs = tuple(jolt(each) if jolt and each.requires_grad else each for each in outputs)
                for index, each in enumerate(outputs):
                    port = Port(node.name, index)
                    values[port] = _fixable(each, port, fixed) if port in grammar.held else each
    for oracle in oracles.values():
        oracle.close()
    return Composed(grammar, modules, values, fixed)


def reference_gradients(
    grammar: Grammar, states: Mapping[str, State], seed: int = 0, round: int = 0
) -> dict[str, list[Tensor]]:
    """Compute the gradient of the objective in round `round` for each player, by name: one tensor per parameter."""
    composed = compose(grammar, states, seed, round)
    return {player.name: composed.gradient(player.name) for player in grammar.query.players}


def _oracle(oracle: NamedOracle, seed: int) -> Oracle:
    with making(seed, "oracle", oracle.name):
        return oracle.declaration.make(stream(seed, "oracle", oracle.name))


def _module(player: PlayerDeclaration, seed: int) -> nn.Module:
    with forked(stream(seed, "player", player.seeded_as)):  # values that are no parameters may be random, too
        return player.factory()


def modules_of(
    grammar: Grammar, states: Mapping[str, State], seed: int = 0, live: Mapping[str, nn.Module] | None = None
) -> dict[str, nn.Module]:
    """Make the modules of all players and clones, load their states, and return the modules by name.

    live: the modules from which the states were saved. Their plain attributes, which no state contains, are copied into
    the new modules.
    """
    with as_declared():
        modules = {player.name: _module(player, seed).train() for player in grammar.query.players}
        clones = {each.name: _module(grammar.query.player_by_name[each.player], seed) for each in grammar.query.clones}
        made = modules | clones
        for name, module in made.items():
            load_module(repr(name), module, states[name])
            if live is not None:
                set_attributes(module, attributes(live[name]))
    return made


def play(
    grammar: Grammar,
    node: Node,
    modules: Mapping[str, nn.Module],
    oracles: Mapping[str, Oracle],
    values: Mapping[Port, Tensor],
    played: Mapping[Port, Tensor] | None,
    seed: int,
    round: int,
) -> tuple[Tensor, ...]:
    """Seed the random streams of the process as in a run, and compute the outputs of one node of the Query graph.

    values: the outputs of earlier nodes, by port. played: the recorded values of the round, by port, or None. The
    answers of black boxes are taken from it.
    """
    begin_streams(at_round(stream(seed, "node", node.draws_as), round))  # as in a run
    inputs = [values[port] for port in node.inputs]
    match node.kind:
        case Kind.ORACLE:
            if played is not None and grammar.query.box_of(node) is Box.BLACK:
                if node.owner in oracles:  # a later gray question may depend on this one having been asked
                    oracles[node.owner].answer(node.question, [each.detach() for each in inputs], round)
                return tuple(played[Port(node.name, index)] for index in range(len(node.outputs)))
            oracle = oracles[node.owner]
            found = viewed(node.view, lambda *asked: oracle.answer(node.question, asked, round))(*inputs)
        case Kind.PLAYER:
            found = viewed(node.view, modules[node.owner])(*inputs)
        case Kind.CLONE:
            with torch.no_grad():
                found = modules[node.owner](*inputs)
        case _:
            assert node.operator is not None  # operators and losses carry one
            found = viewed(node.view, make_operator(node.operator))(*inputs)
    outputs = (found,) if isinstance(found, Tensor) else tuple(found)
    if node.kind is Kind.ORACLE and grammar.query.box_of(node) is Box.BLACK:
        return tuple(each.detach() for each in outputs)
    return outputs


def _fixable(value: Tensor, port: Port, fixed: set[Port]) -> Tensor:
    """Return the same value. No gradient passes through it while `port` is in the set `fixed`."""
    found: Any = _Fixable.apply(value, port, fixed)  # Any: torch has no stub for it
    return found


def _dense(gradient: Tensor | None, of: Tensor) -> Tensor:
    if gradient is None:
        return torch.zeros_like(of)
    return gradient if gradient.layout is torch.strided else gradient.to_dense()


def _described(value: object) -> str:
    return f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
