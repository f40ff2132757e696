"""What a check has to say of a grammar that was broken."""

from collections.abc import Callable

import pytest

from antiphon.checks.check import check_grammar
from antiphon.checks.report import Failure
from antiphon.grammars import Grammar


@pytest.fixture
def broken() -> Callable[[Grammar], list[Failure]]:
    """The failures of a grammar of which at least one promise has to be broken."""

    def check(grammar: Grammar) -> list[Failure]:
        report = check_grammar(grammar, instances=2)
        assert report.failed, f"nothing was noticed:\n{grammar.response!r}"
        return [failure for row in report.rows for failure in row.failures]

    return check
