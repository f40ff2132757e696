"""Finite games in normal form: each player plays a distribution over its actions (essay, Definition 5)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from antiphon.errors import GrammarError
from antiphon.grammars import Factory, Grammar, OracleDeclaration, typed
from antiphon.grammars.library.game import game
from antiphon.grammars.library.strategy import MixedStrategy, Start


@typed
def finite_game(
    losses: Mapping[str, Tensor], *, start: Start = "random", referee: OracleDeclaration | None = None
) -> Grammar:
    """Make the grammar of a finite game. Each player minimises its expected loss under independent mixed strategies.

    losses: for each player, its loss for every combination of actions. The first dimension is the action of the first
    player, and so on. start: the first strategies. referee: an oracle that sees all strategies.
    Each player receives the expected loss of each of its actions.
    """
    _refuse_shapes(losses)
    sizes, dtype = next(iter(losses.values())).shape, next(iter(losses.values())).dtype
    modules = (Factory.of(MixedStrategy, actions, start, dtype) for actions in sizes)
    players = dict(zip(losses, modules, strict=True))
    expected = {name: Factory.of(expected_loss, table=table) for name, table in losses.items()}
    return game("finite-game", players, expected, referee)


def expected_loss(*strategies: Tensor, table: Tensor) -> Tensor:
    """Return the mean of `table` under independent actions, 0-d. strategies: a distribution for each dimension."""
    for strategy in strategies:
        table = torch.tensordot(strategy, table, dims=1)
    return table


def _refuse_shapes(losses: Mapping[str, Tensor]) -> None:
    shapes = {name: tuple(table.shape) for name, table in losses.items()}
    dtypes = {table.dtype for table in losses.values()}
    alike = len(set(shapes.values())) == 1 and len(dtypes) == 1 and next(iter(dtypes)).is_floating_point
    if not alike or any(len(shape) != len(losses) or 0 in shape for shape in shapes.values()):
        raise GrammarError(
            f"a finite game was given losses of the shapes {shapes} and dtypes {sorted(map(str, dtypes))}; expected "
            "for each player a tensor of floats with one dimension per player, all of one shape and dtype. "
            "Give every player a loss for each combination of actions."
        )
