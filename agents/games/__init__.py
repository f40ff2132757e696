"""Agents for games: learners with a bound on their regret, and optimizers that converge where descent circles.

Each module holds one agent. The agent's name is the file's, with hyphens: `swap-regret` is the class `SwapRegret` of
`swap_regret.py`. Modules are imported only when they are used. This folder may import what `agents` may.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from antiphon.plugins import AGENTS, find

LIBRARY = tuple(sorted(each.name.replace("_", "-") for each in pkgutil.iter_modules(__path__)))
"""The names of the agents in this folder."""


def agent_named(name: str) -> Callable[..., Any]:  # Any: an agent
    """Return the class of an agent: one of this folder, a plugin's, or a user's "module:Class".

    Raises ExperimentError if no agent has that name, or its import fails.
    """
    if name not in LIBRARY:
        return find("agent", name, AGENTS, library=["torch", *LIBRARY])
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return getattr(module, name.title().replace("-", ""))
