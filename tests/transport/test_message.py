"""Headers, tags and the one check of what arrives."""

import pytest

from antiphon.errors import ProtocolError, ShapeError
from antiphon.testing.channel import SESSION, edge, refusal
from antiphon.transport.local import Exchange, LocalChannel
from antiphon.transport.message import Header, Session, Tag, expect, phase_name


def test_the_expected_message_passes() -> None:
    expect(Tag.of(SESSION, edge(), 5), SESSION, edge(), 5)
    expect(Header.of(SESSION, edge(), 5), SESSION, edge(), 5)


def test_a_signature_is_hexadecimal() -> None:
    with pytest.raises(ProtocolError) as error:
        Session("grammar", 0, 1.0)
    assert str(error.value) == (
        "a session's signature is 'grammar'; expected at least 16 lower-case hexadecimal digits. "
        "Pass the grammar's signature."
    )


def test_a_phase_that_is_none_has_a_name() -> None:
    assert [phase_name(phase) for phase in (0, 1, 2, 9)] == ["query", "response", "move", "unknown (9)"]


def test_local_workers_that_disagree_do_not_open() -> None:
    exchange = Exchange()
    LocalChannel(SESSION, "Alice", exchange, [edge()]).open()
    text = (
        "worker 'Bob' and worker 'Alice' disagree on edge 'Alice.0 -> Bob': expected zeroth order float32[5]; "
        "arrived zeroth order float32[4]. Compile one schedule, with one set of sizes, for all workers."
    )
    with refusal(ShapeError, text):
        LocalChannel(SESSION, "Bob", exchange, [edge(shape=(5,))]).open()
