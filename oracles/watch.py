"""Watches modules whose gradients are computed by hand: whether they still compute what their classes say."""

from collections.abc import Mapping, Sequence
from typing import Any, final

from torch import nn

from antiphon.grammars.plain import GLOBAL_HOOKS, METHODS, hooks_of, is_hooked


@final
class Watch:
    """Checks whether modules still compute what they computed when this object was made.

    module: a module. links: modules inside it. The check compares the lengths of the modules' dicts, and the identities
    of their parameters, buffers, submodules and methods. It takes about a microsecond. It does not find hooks on the
    autograd node that accumulates the gradient of a parameter, because torch does not show them.
    """

    def __init__(self, module: nn.Module, links: Sequence[nn.Module]) -> None:
        modules = list({id(each): each for each in (module, *links)}.values())
        self._hooks = [*GLOBAL_HOOKS, *(table for each in modules for table in hooks_of(each))]
        self._tables = [table for each in modules for table in (vars(each), *_held(each))]
        self._sizes = list(map(len, self._tables))
        held = [(table, key) for each in modules for table in _held(each) for key in table]
        kinds = {kind for each in modules for kind in type(each).__mro__ if issubclass(kind, nn.Module)}
        held += [(vars(kind), name) for kind in kinds for name in METHODS if name in vars(kind)]
        self._held: list[tuple[Mapping[str, Any], str, Any]] = [(table, key, table[key]) for table, key in held]
        self._parameters = tuple(module.parameters())

    def holds(self) -> bool:
        """Return False if hooks, methods, parameters, buffers or submodules have changed since this object was made."""
        if any(self._hooks) or is_hooked(self._parameters) or list(map(len, self._tables)) != self._sizes:
            return False
        return not [key for table, key, value in self._held if table.get(key) is not value]


def _held(module: nn.Module) -> list[dict[str, Any]]:  # Any: parameters, buffers and submodules
    return [module._parameters, module._buffers, module._modules]
