"""The gradients that have arrived at values of the Query graph while the chain rule walks backwards, for edits."""

from collections.abc import Mapping
from typing import final

from antiphon.errors import GrammarError
from antiphon.grammars.draft import Value
from antiphon.grammars.query import Node, Port
from antiphon.grammars.writing import Message, port_of


@final
class Arrived:
    """The gradients that have arrived so far: for each value of the Query graph, the sum of all messages about it.

    `arrived[value]` is that sum, as a message. The walk begins at the losses, so a value that was asked later in the
    Query graph is known earlier.
    """

    def __init__(self) -> None:
        self._messages: dict[Port, Message] = {}

    def put(self, messages: Mapping[Port, Message | None]) -> None:
        """Note the sum of all messages about each of the values; None for a value about which nothing has arrived.

        It replaces what arrived there for other terms of the objective.
        """
        for value, message in messages.items():
            if message is None:
                self._messages.pop(value, None)
            else:
                self._messages[value] = message

    def __contains__(self, value: object) -> bool:
        return (value.port if isinstance(value, Value) else value) in self._messages

    def __getitem__(self, value: Value | Port) -> Message:
        port = port_of(value)
        if port not in self._messages:
            raise GrammarError(
                f"an edit asks for the gradient that arrived at {port!r}, and none has arrived there yet; arrived: "
                f"{sorted(map(repr, self._messages))}. Ask for one of these: R is written from the losses upstream."
            )
        return self._messages[port]

    def at(self, node: Node) -> Message:
        """Return the gradient that arrived at the outputs of a node, if it arrived at exactly one of them.

        Raises GrammarError for a node with gradients at several outputs.
        """
        known = [port for index in range(len(node.outputs)) if (port := Port(node.name, index)) in self._messages]
        if len(known) != 1:
            raise GrammarError(
                f"an edit asks for the one gradient that arrived at {node.name!r}, and {len(known)} arrived, at "
                f"{known!r}; expected one. Name the output: `arrived[value]`."
            )
        return self._messages[known[0]]
