"""Find which parameters of a module belong to each of its parts. For this purpose, number the module's parameters."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from antiphon.errors import GrammarError
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import make_module
from antiphon.grammars.regrouping.correspondence import Span
from antiphon.grammars.seeds import forked


def numbered(whole: Factory) -> nn.Module:
    """Make a module in float64, and set its parameters to 0, 1, 2, and so on.

    The parameters of a part of this module are then their own indices in the parameter vector of the whole module.
    """
    module = make_module(whole).double()
    start = 0
    for parameter in _learned(module):
        numbers = torch.arange(start, start + parameter.numel(), dtype=torch.float64)
        parameter.data.copy_(numbers.reshape(parameter.shape))
        start += parameter.numel()
    return module


def positions(player: str, whole: Factory, parts: Mapping[str, Factory]) -> dict[str, tuple[Span, ...]]:
    """Return, for each part of a player, the ranges of the player's parameter vector that are the part's parameters.

    player: name of the player. whole: factory of the player's module.
    parts: by name, the factories of the parts; the first argument of each must be `whole`.
    Raises GrammarError for another factory, and for a parameter that belongs to two parts or to none.
    """
    with forked():
        total = sum(parameter.numel() for parameter in _learned(make_module(whole)))
        numbers = {name: _numbers(player, name, whole, factory) for name, factory in parts.items()}
    taken = torch.bincount(torch.cat([*numbers.values()]), minlength=total)
    if taken.numel() != total or not taken.eq(1).all():
        raise GrammarError(
            f"player {player!r} of {whole!r} has {total} parameters, of which {int(taken.gt(1).sum())} are played by "
            f"several parts and {int(taken.eq(0).sum())} by none; expected each of them in one of {sorted(parts)}. "
            "Let the parts share nothing and leave nothing out, or leave the player whole."
        )
    return {name: _runs(player, each) for name, each in numbers.items()}


def _numbers(player: str, name: str, whole: Factory, factory: Factory) -> Tensor:
    if not factory.arguments or factory.arguments[0] != whole:
        raise GrammarError(
            f"part {name!r} is made by {factory!r}, which takes nothing of player {player!r}; expected a factory whose "
            f"first argument is {whole!r}. Take the part from the whole, as `Child` and `Unit` do."
        )
    module = make_module(replace(factory, arguments=(Factory.of(numbered, whole), *factory.arguments[1:])))
    return torch.cat([parameter.detach().reshape(-1) for parameter in _learned(module)]).long()


def _runs(player: str, numbers: Tensor) -> tuple[Span, ...]:
    ends = [*((numbers.diff() != 1).nonzero().flatten() + 1).tolist(), len(numbers)]
    starts = [0, *ends[:-1]]
    first = numbers.tolist()
    return tuple(Span(player, first[start], first[end - 1] + 1) for start, end in zip(starts, ends, strict=True))


def _learned(module: nn.Module) -> list[Tensor]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
