"""The command `antiphon list`: the library's grammars, the included experiments, and installed plugins.

No grammar is built. Guarantee, players and oracles of a grammar come from comments in the experiment file of the same
name. A test compares these comments with the grammar. An agent's description is the first line of its module.
"""

import ast
import tomllib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from antiphon.columns import aligned
from antiphon.experiments.shipped import heading, parts, shipped
from antiphon.plugins import AGENTS, ENVIRONMENTS, GRAMMARS, installed
from antiphon.recipes import LIBRARY


def listing() -> str:
    """Return the output of `antiphon list`: tables of grammars, experiments and agents, and of installed plugins."""
    experiments = shipped()
    grammars = [(name, *parts(experiments[name])) for name in LIBRARY]
    tables = [aligned(grammars, ("grammar", "guarantee", "players", "oracles"))]
    tables += [aligned(map(_experiment_row, experiments), ("experiment", "grammar", "rounds", "what it is"))]
    tables += [aligned(_agent_rows(), ("agent", "what it is"))]
    if plugins := list(_installed_rows()):
        tables += [aligned(plugins, ("installed", "what it is", "distribution", "where"))]
    return "\n\n".join(tables)


def _experiment_row(name: str) -> tuple[str, ...]:
    path = shipped()[name]
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return name, table["grammar"], table["rounds"], heading(path)


def _agent_rows() -> Iterable[tuple[str, ...]]:
    """Yield the name and the description of each agent of the library, without an import of torch."""
    yield "torch", "Any optimizer of torch.optim (the default)."
    spec = find_spec("antiphon.agents")
    for path in sorted((Path(str(spec and spec.origin)).parent / "games").glob("[!_]*.py")):
        described = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        yield path.stem.replace("_", "-"), described.partition("\n")[0]


def _installed_rows() -> Iterable[tuple[str, ...]]:
    """Yield one table row per installed plugin. No plugin is imported, so that a broken plugin raises no error."""
    for what, group in (("grammar", GRAMMARS), ("agent", AGENTS), ("environment", ENVIRONMENTS)):
        for name, point in sorted(installed(group).items()):
            yield name, what, point.dist.name if point.dist else "", point.value
