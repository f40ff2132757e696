"""Figures: numbers that a run measures in one round of each batch of rounds, for its metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from antiphon.grammars.grammar import Grammar

Quantity: TypeAlias = Literal["mean", "norm", "gradient"]


@dataclass(frozen=True)
class Figure:
    """A number about one player, measured in the first round of each batch that has the value.

    So it costs nothing in the other rounds. The report of the player gets the number under `name`.
    quantity: "gradient" is the Euclidean norm of the gradient that the player receives. "mean" is the mean of the
    outputs of the player's first query in the Query graph, and "norm" the mean Euclidean norm of their rows. node: the
    name of this query; "" for a gradient. With replicas or micro-batches, only the first part of the outputs counts.
    """

    player: str
    name: str
    quantity: Quantity
    node: str = ""


def figures_of(grammar: Grammar, outputs: Mapping[str, Mapping[str, Quantity]]) -> tuple[Figure, ...]:
    """Return the figures of a run: the norm of each player's gradient, and numbers about the outputs of some players.

    outputs: by player, the quantities of its outputs by name. Players that the grammar does not have are left out.
    """
    first = {node.owner: node.name for node in reversed(grammar.query.nodes)}
    gradients = [Figure(player.name, "gradient_norm", "gradient") for player in grammar.query.players]
    named = [(player, *item) for player, own in outputs.items() if player in first for item in own.items()]
    return (*gradients, *(Figure(player, name, quantity, first[player]) for player, name, quantity in named))
