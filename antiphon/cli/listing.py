"""What comes with antiphon, in words: grammars with their guarantees and players, and experiments."""

from collections.abc import Iterable

from antiphon.experiments.load import read_experiment, shipped
from antiphon.grammars.grammar import Grammar
from antiphon.plugins import AGENTS, ENVIRONMENTS, GRAMMARS, installed
from antiphon.recipes import LIBRARY


def listing() -> str:
    """Two tables, as plain text; a third of what other distributions bring, if they bring anything."""
    grammars = [(name, read_experiment(name).build()) for name in LIBRARY]
    first = [("grammar", "guarantee", "players", "oracles"), *(_grammar_row(name, each) for name, each in grammars)]
    second = [("experiment", "grammar", "rounds", "what it is"), *map(_experiment_row, sorted(shipped()))]
    third = [("installed", "what it is", "distribution", "where"), *_installed_rows()]
    return "\n\n".join(_columns(table) for table in (first, second, third) if len(table) > 1)


def _grammar_row(name: str, grammar: Grammar) -> tuple[str, ...]:
    players = ", ".join(player.name for player in grammar.query.players)
    oracles = ", ".join(oracle.name for oracle in grammar.query.oracles)
    return name, repr(grammar.guarantee), players, oracles


def _experiment_row(name: str) -> tuple[str, ...]:
    experiment = read_experiment(name)
    first = shipped()[name].read_text(encoding="utf-8").splitlines()[0]
    return name, experiment.grammar, str(experiment.rounds), first.removeprefix("#").strip()


def _installed_rows() -> Iterable[tuple[str, ...]]:
    """Nothing is imported: what does not import is told by whoever uses it."""
    for what, group in (("grammar", GRAMMARS), ("agent", AGENTS), ("environment", ENVIRONMENTS)):
        for name, point in sorted(installed(group).items()):
            yield name, what, point.dist.name if point.dist else "", point.value


def _columns(rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
