"""Checks of a machine, one line each: what was found, or what is wrong and what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from antiphon.errors import AntiphonError


class Verdict(StrEnum):
    """What came of a check."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One check and what came of it. said: in words; of a failure, with the remedy."""

    check: str
    verdict: Verdict
    said: str

    @property
    def line(self) -> str:
        """The finding as one line of text."""
        return f"{self.verdict:<8} {self.check}: {' '.join(self.said.split())}"


class NotRun(Exception):
    """A check that cannot be made here; says why."""


class Ailing(Exception):
    """A check that failed; says what was found, what was expected, and the remedy."""


Check = tuple[str, Callable[[], str]]
"""Its name, and what looks: returns what it found, or raises."""


def examine(name: str, look: Callable[[], str]) -> Finding:
    """Make one check. Whatever it raises becomes a finding, but for what ends the program."""
    try:
        return Finding(name, Verdict.OK, look())
    except NotRun as reason:
        return Finding(name, Verdict.SKIPPED, f"not run: {reason}")
    except (Ailing, AntiphonError) as error:
        return Finding(name, Verdict.FAILED, str(error))
    except AssertionError as error:
        return Finding(name, Verdict.FAILED, f"a law does not hold: {error}. Report this, with all lines above.")
    except Exception as error:  # a library's own, of any kind
        text = (str(error).strip().splitlines() or [""])[0]
        return Finding(name, Verdict.FAILED, f"{type(error).__name__}: {text}. Report this, with all lines above.")


def summary(findings: list[Finding]) -> str:
    """How many of each.

    >>> summary([Finding("versions", Verdict.OK, "all")])
    '1 ok, 0 failed, 0 skipped'
    """
    counts = {verdict: sum(each.verdict is verdict for each in findings) for verdict in Verdict}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
