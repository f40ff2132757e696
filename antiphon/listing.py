"""What comes with antiphon, in words: grammars with their guarantees and players, and experiments."""

from collections.abc import Iterable

from antiphon.experiment import RECIPES
from antiphon.grammars.grammar import Grammar
from antiphon.reading import read_experiment, shipped


def listing() -> str:
    """Two tables, as plain text."""
    grammars = [(name, read_experiment(name).build()) for name in sorted(RECIPES)]
    first = [("grammar", "guarantee", "players", "oracles"), *(_grammar_row(name, each) for name, each in grammars)]
    second = [("experiment", "grammar", "rounds", "what it is"), *map(_experiment_row, sorted(shipped()))]
    return f"{_columns(first)}\n\n{_columns(second)}"


def _grammar_row(name: str, grammar: Grammar) -> tuple[str, ...]:
    players = ", ".join(player.name for player in grammar.query.players)
    oracles = ", ".join(oracle.name for oracle in grammar.query.oracles)
    return name, repr(grammar.guarantee), players, oracles


def _experiment_row(name: str) -> tuple[str, ...]:
    experiment = read_experiment(name)
    first = shipped()[name].read_text().splitlines()[0]
    return name, experiment.grammar, str(experiment.rounds), first.removeprefix("#").strip()


def _columns(rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
