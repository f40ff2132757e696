"""The report of a check: a table of promises, and one line for each player to which a promise was broken."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import final

from antiphon.checks.measured import Measured, by_player, worst
from antiphon.columns import aligned
from antiphon.output_file import finite


@final
@dataclass(frozen=True)
class Failure:
    """A promise that was broken to a player, measured with several seeds.

    The worst result: operator: the node that is wrong. seed: the seed. measured: the value. detail: a remark.
    instances: the number of seeds with which the promise was broken.
    """

    player: str
    operator: str
    seed: int
    measured: float
    detail: str
    instances: int

    @property
    def text(self) -> str:
        """The failure in one line of text.

        >>> Failure("A", "A *", 3, 2.0, "the input of 'A *' is of the opposite sign", 1).text
        "player 'A', operator 'A *': 2; the input of 'A *' is of the opposite sign (worst: --seed 3; 1 instance)"
        """
        where = f", operator {self.operator!r}" if self.operator else ""
        detail = f"; {self.detail}" if self.detail else ""
        count = f"{self.instances} instance{'' if self.instances == 1 else 's'}"
        return f"player {self.player!r}{where}: {figure(self.measured)}{detail} (worst: --seed {self.seed}; {count})"


@final
@dataclass(frozen=True)
class Row:
    """A row of the report: one promise, measured on all random grammars of one test case.

    case: name of the test case. guarantee: the kind of promise, in words. players: to which the promise is made.
    measured: the worst measured value. bound: the largest value with which the promise is kept.
    verdict: whether the promise was kept. instances: number of random grammars.
    worst: seed of the grammar with the worst value; -1 if nothing was measured.
    detail: a remark on that grammar, or why nothing was measured.
    failures: one for each player to which the promise was broken.
    """

    grammar: str
    case: str
    guarantee: str
    players: str
    measured: float
    bound: float
    verdict: str
    instances: int
    worst: int
    detail: str = ""
    failures: tuple[Failure, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the promise was broken."""
        return self.verdict == FAILS


KEPT, FAILS, UNMEASURED, NOTHING = "kept", "FAILS", "not measured", "nothing promised"


def nothing_row(grammar: str, case: str, players: Sequence[str], instances: int) -> Row:
    """Make the row of the report for players about whose responses a grammar makes no promise."""
    return Row(grammar, case, "none", ", ".join(players), 0.0, 0.0, NOTHING, instances, -1)


def rows_of(grammar: str, case: str, guarantee: str, players: str, found: Sequence[Measured]) -> list[Row]:
    """Make the rows of the report for one promise: a row for all measured players, a row for all other players.

    found: the results for all players and all seeds.
    """
    measured = [each for each in found if not each.skipped]
    known = {each.player for each in measured}
    unmeasured = [each for each in found if each.player not in known]
    count = len({each.seed for each in found})
    both = bool(measured and unmeasured)
    rows: list[Row] = []
    if measured:
        names = _named(measured) if both else players
        rows.append(_measured_row(grammar, case, guarantee, names, measured, count))
    if unmeasured:
        names = _named(unmeasured) if both else players
        why = "; ".join(dict.fromkeys(each.skipped for each in unmeasured))
        rows.append(Row(grammar, case, guarantee, names, 0.0, 0.0, UNMEASURED, count, -1, why))
    return rows


def _measured_row(grammar: str, case: str, guarantee: str, players: str, found: Sequence[Measured], count: int) -> Row:
    most, failures = worst(found), _failures(found)
    verdict = FAILS if failures else KEPT
    return Row(
        grammar, case, guarantee, players, most.value, most.bound, verdict, count, most.seed, most.detail, failures
    )


def _named(found: Sequence[Measured]) -> str:
    return ", ".join(dict.fromkeys(each.player for each in found))


def _failures(found: Sequence[Measured]) -> tuple[Failure, ...]:
    broken = [(worst(group), len(group)) for group in by_player(each for each in found if not each.kept)]
    return tuple(
        Failure(each.player, each.operator, each.seed, each.value, each.detail, count) for each, count in broken
    )


@final
@dataclass(frozen=True)
class Report:
    """All results of a check. rows: one for each promise. seconds: duration of the check."""

    rows: tuple[Row, ...]
    seconds: float = field(default=0.0, compare=False)

    @property
    def failed(self) -> bool:
        """Whether at least one promise was broken."""
        return any(row.failed for row in self.rows)

    @property
    def summary(self) -> str:
        """One line of text: how many promises were kept or not measured, and which players have no promise."""
        count = Counter(row.verdict for row in self.rows)
        parts = [f"{count[KEPT]} of {count[KEPT] + count[FAILS]} promises kept", f"{count[UNMEASURED]} not measured"]
        if nobody := [row.players for row in self.rows if row.verdict == NOTHING]:
            parts.append(f"nothing promised to {'; '.join(dict.fromkeys(nobody))}")
        return ", ".join([*parts, f"{self.seconds:.0f} s"])

    @property
    def as_json(self) -> str:
        """The report as a JSON object with `failed`, `seconds`, and `rows`. NaN and infinity become null."""
        rows = finite([asdict(row) for row in self.rows])
        return json.dumps({"failed": self.failed, "seconds": round(self.seconds, 1), "rows": rows}, indent=2)

    @property
    def text(self) -> str:
        """The report as text: a table of all rows, then a line for each broken promise and each row with a remark."""
        told = [line for row in self.rows for line in _told(row)]
        return "\n".join([aligned(map(_cells, self.rows), _HEADER), *([""] if told else []), *told])


_HEADER = ("grammar", "instances", "guarantee", "players", "measured", "bound", "verdict")


def _cells(row: Row) -> tuple[str, ...]:
    measured, bound = ("-", "-") if row.verdict in (UNMEASURED, NOTHING) else (figure(row.measured), figure(row.bound))
    return row.grammar, f"{row.instances} {row.case}".strip(), row.guarantee, row.players, measured, bound, row.verdict


def _told(row: Row) -> list[str]:
    if row.verdict == UNMEASURED:
        return [f"{row.grammar}: {row.guarantee}: not measured: {row.detail}"]
    if row.failed:
        return [f"{row.grammar}: {row.guarantee} FAILS for {failure.text}" for failure in row.failures]
    return [f"{row.grammar}: {row.guarantee}: {row.detail}"] if row.detail else []


def figure(value: float) -> str:
    """Format a number with two significant digits; integers, and numbers from 100 to 10000, without a decimal point.

    >>> figure(0.0), figure(3.0), figure(102.78), figure(1.23456e-12), figure(0.0123456)
    ('0', '3', '103', '1.2e-12', '0.012')
    """
    return f"{value:.0f}" if value % 1 == 0 or 100 <= abs(value) < 10000 else f"{value:.2g}"
