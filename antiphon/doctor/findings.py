"""The results of the checks of a machine. A result is one line: what was found, or what is wrong and the remedy."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from antiphon.errors import AntiphonError, unstopped


class Health(StrEnum):
    """The verdict of a check of the machine."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """The result of one check of the machine. said: what was found, in words; for a failure, also the remedy."""

    check: str
    verdict: Health
    said: str

    @property
    def line(self) -> str:
        """The result as one line of text: verdict, name of the check, and what was found."""
        return f"{self.verdict:<8} {self.check}: {' '.join(self.said.split())}"


class NotRun(Exception):
    """A check cannot run on this machine. The message says why."""


class CheckFailed(Exception):
    """A check failed. The message says what was found, what was expected, and the remedy."""


Check = tuple[str, Callable[[], str]]
"""The name of a check, and a function that returns a text about what it found, or raises an error."""


def examine(name: str, look: Callable[[], str]) -> Finding:
    """Run one check of the machine and return its result. An Exception of the check becomes a failed result.

    name: name of the check. look: the check, a function that returns what it found, as text.
    """
    try:
        return Finding(name, Health.OK, look())
    except NotRun as reason:
        return Finding(name, Health.SKIPPED, f"not run: {reason}")
    except (CheckFailed, AntiphonError) as error:
        return Finding(name, Health.FAILED, str(error))
    except AssertionError as error:
        return Finding(
            name, Health.FAILED, f"a law does not hold: {unstopped(error)}. Report this, with all lines above."
        )
    except Exception as error:  # a library may raise anything
        text = (str(error).strip().splitlines() or [""])[0]
        return Finding(name, Health.FAILED, f"{type(error).__name__}: {text}. Report this, with all lines above.")


def summary(findings: list[Finding]) -> str:
    """Return a text with the number of checks for each verdict.

    >>> summary([Finding("versions", Health.OK, "all")])
    '1 ok, 0 failed, 0 skipped'
    """
    counts = {verdict: sum(each.verdict is verdict for each in findings) for verdict in Health}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
