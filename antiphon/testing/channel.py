"""The conformance test of channels (connections between two workers), which users can run on their own channel.

Each function whose name begins with `law_` tests one rule of the contract.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from antiphon.errors import AntiphonError, DeadlineError, ProtocolError, ShapeError, TransportError
from antiphon.transport.channel import Channel
from antiphon.transport.codec import DTYPES
from antiphon.transport.memory import ALIGNMENT
from antiphon.transport.message import Edge, Phase, Session, Tag

SESSION = Session("0123456789abcdef" * 4, generation=2, deadline=20.0)
_HASTY = replace(SESSION, deadline=0.5)
_SHAPES = ((), (0,), (3, 0, 2), (1,), (7, 3, 5), (64, 33))


@dataclass(frozen=True)
class Pair:
    """Two channels to test, not yet open, and functions that simulate faults.

    source: the channel of a worker named "Alice". target: the channel of a worker named "Bob".
    forge: sends Bob a message with any tag on an edge, without the checks of Alice's channel.
    kill: ends Alice's side of the connection, in a way that Bob's channel must notice.
    ordered: whether a worker must receive the messages of all edges in the order of sending, as NCCL requires.
    """

    source: Channel
    target: Channel
    forge: Callable[[Edge, Tag, Tensor], None]
    kill: Callable[[], None]
    ordered: bool = False


MakePair: TypeAlias = Callable[[Session, Sequence[Edge]], Pair]
"""A function of (session, edges) that makes a new `Pair`: the connected channels of the workers Alice and Bob."""


def check_channel(make_pair: MakePair) -> None:
    """Test whether a kind of channel keeps its contract. Raises AssertionError for a rule that is broken.

    make_pair: makes two connected channels of the kind, for the workers "Alice" and "Bob".
    """
    for law in LAWS:
        law(make_pair)


def edge(
    number: int = 0, shape: tuple[int, ...] = (4,), dtype: torch.dtype = torch.float32, back: bool = False
) -> Edge:
    """Make an edge (the type of a message) from the worker Alice to Bob; from Bob to Alice if `back` is true."""
    source, target = ("Bob", "Alice") if back else ("Alice", "Bob")
    phase = Phase.RESPONSE if back else Phase.QUERY
    return Edge(number, f"{source}.{number} -> {target}", source, target, phase, "zeroth", dtype, shape)


def sample(edge: Edge, seed: int = 0) -> Tensor:
    """Return a random tensor with the dtype and shape that an edge declares. Equal seeds give equal tensors."""
    generator = torch.Generator().manual_seed(seed)
    if edge.dtype.is_floating_point:
        return torch.randn(edge.shape, generator=generator).to(edge.dtype)
    high = 2 if edge.dtype is torch.bool else 100
    return torch.randint(0, high, edge.shape, generator=generator).to(edge.dtype)


def same_bits(left: Tensor, right: Tensor) -> bool:
    """Return whether two tensors have the same dtype, shape and bytes: NaN equals itself, 0.0 does not equal -0.0."""
    if (left.dtype, left.shape) != (right.dtype, right.shape):
        return False
    return torch.equal(*(each.detach().contiguous().view(-1).view(torch.uint8) for each in (left, right)))


@contextmanager
def opened(pair: Pair) -> Iterator[Pair]:
    """Context manager that opens both channels of a pair, yields the pair, and closes both channels at the end.

    Two threads open the channels, because each channel may wait for the other.
    """
    try:
        with ThreadPoolExecutor(2) as threads:
            for opening in [threads.submit(channel.open) for channel in (pair.source, pair.target)]:
                opening.result()
        yield pair
    finally:
        pair.source.close()
        pair.target.close()


@contextmanager
def refusal(kind: type[AntiphonError], text: str) -> Iterator[None]:
    """Context manager that raises AssertionError unless its body raises an error of exactly this class and text.

    If `text` ends in "...", only the beginning of the error's text is compared.
    """
    try:
        yield
    except AntiphonError as error:
        assert type(error) is kind, f"expected {kind.__name__}; arrived {type(error).__name__}: {error}"
        said = f"{str(error)[: len(text) - 3]}..." if text.endswith("...") else str(error)
        assert said == text, f"expected the text\n{text}\narrived\n{error}"
        return
    raise AssertionError(f"expected {kind.__name__}; nothing was raised")


def law_every_type_arrives_bit_by_bit(make_pair: MakePair) -> None:
    """Test that tensors of all dtypes and of unusual shapes arrive unchanged, contiguous and aligned in memory."""
    types = [(dtype, shape) for dtype in DTYPES for shape in _SHAPES]
    edges = [edge(number, shape, dtype) for number, (dtype, shape) in enumerate(types)]
    with opened(make_pair(SESSION, edges)) as pair:
        for each in edges:
            pair.source.send(each, 0, sample(each))
            arrived = pair.target.receive(each, 0)
            assert same_bits(arrived, sample(each)), each
            assert arrived.is_contiguous() and arrived.data_ptr() % ALIGNMENT == 0, each


def law_what_is_put_on_the_way_is_told_and_does_not_vary(make_pair: MakePair) -> None:
    """Test that `send` returns the number of bytes sent: those of the value, and those of header and padding.

    For each edge, the number of bytes of header and padding must be the same in every round.
    """
    wide, empty = edge(0, (3, 5)), edge(1, (0,))
    with opened(make_pair(SESSION, [wide, empty])) as pair:
        around = set()
        for round in range(3):
            for each in (wide, empty):
                sent = pair.source.send(each, round, sample(each))
                pair.target.receive(each, round)
                around.add((each.number, sent - each.bytes))
        assert len(around) == 2 and min(around)[1] >= 0, around


def law_rounds_arrive_in_order_both_ways(make_pair: MakePair) -> None:
    """Test many rounds in which a message is sent, and then a reply in the other direction."""
    there, back = edge(3), edge(9, back=True)
    with opened(make_pair(SESSION, [there, back])) as pair:
        for round in range(20):
            pair.source.send(there, round, sample(there, round))
            assert same_bits(pair.target.receive(there, round), sample(there, round))
            pair.target.send(back, round, sample(back, -round))
            assert same_bits(pair.source.receive(back, round), sample(back, -round))
        pair.source.settle()
        pair.target.settle()


def law_edges_do_not_wait_for_each_other(make_pair: MakePair) -> None:
    """Test that messages on all edges can be sent before the first message is received.

    They are received in reverse order; in the order of sending if the channel requires this.
    """
    edges = [edge(number, (number + 1,)) for number in range(6)]
    with opened(make_pair(SESSION, edges)) as pair:
        for each in edges:
            pair.source.send(each, 0, sample(each, each.number))
        for each in edges if pair.ordered else reversed(edges):
            assert same_bits(pair.target.receive(each, 0), sample(each, each.number)), each


def law_a_sent_value_is_the_senders_again(make_pair: MakePair) -> None:
    """Test that the sender may overwrite its tensor after `send`, and that a transposed view arrives transposed."""
    wide = edge(0, (300, 200))
    with opened(make_pair(SESSION, [wide])) as pair:
        value = sample(wide)
        pair.source.send(wide, 0, value)
        value.zero_()
        assert same_bits(pair.target.receive(wide, 0), sample(wide))
        pair.source.send(wide, 1, sample(replace(wide, shape=(200, 300))).T)
        assert same_bits(pair.target.receive(wide, 1), sample(replace(wide, shape=(200, 300))).T)


def law_a_received_value_lasts_until_the_next(make_pair: MakePair) -> None:
    """Test that later messages do not overwrite a value that was received earlier and is still in use."""
    only = edge()
    with opened(make_pair(SESSION, [only])) as pair:
        pair.source.send(only, 0, sample(only, 0))
        first = pair.target.receive(only, 0)
        for round in (1, 2):
            pair.source.send(only, round, sample(only, round))
        assert same_bits(first, sample(only, 0))
        for round in (1, 2):
            assert same_bits(pair.target.receive(only, round), sample(only, round))


def law_a_sender_runs_ahead_but_not_for_ever(make_pair: MakePair) -> None:
    """Test that two messages on an edge can be sent before the first is received, and that further sends wait.

    A send that waits longer than the deadline must raise DeadlineError.
    """
    only = edge(dtype=torch.float64, shape=(50_000,))
    with opened(make_pair(_HASTY, [only])) as pair:
        for round in (0, 1):
            pair.source.send(only, round, sample(only, round))
        assert same_bits(pair.target.receive(only, 0), sample(only, 0))
        text = (
            "worker 'Alice' waited 0.5 s for 'Bob' to take its last message on edge 'Alice.0 -> Bob' (query phase, ..."
        )
        with refusal(DeadlineError, text):
            for round in range(2, 12):
                pair.source.send(only, round, sample(only, round))


def law_gradients_stay_at_home(make_pair: MakePair) -> None:
    """Test that a tensor with an autograd graph is sent without the graph, and that the channel does not keep it.

    The received tensor must not require a gradient. The receiver may call `requires_grad_` on it.
    """
    only = edge()
    with opened(make_pair(SESSION, [only])) as pair:
        for round in range(3):
            value = sample(only).requires_grad_()
            seen = weakref.ref(value)
            pair.source.send(only, round, value)
            del value
            assert seen() is None, "the channel keeps the sent value, or its graph"
            arrived = pair.target.receive(only, round)
            assert not arrived.requires_grad
            arrived.requires_grad_()


def law_a_value_of_another_type_is_refused(make_pair: MakePair) -> None:
    """Test that `send` refuses a tensor whose shape or dtype is not that of the edge, and sends nothing.

    A correct tensor can then be sent on the same edge in the same round.
    """
    only = edge(shape=(4, 3))
    text = (
        "worker 'Alice' was to send float32[4, 3] on edge 'Alice.0 -> Bob' to worker 'Bob'; arrived {}. "
        "Return what the edge declares, or declare what is returned."
    )
    with opened(make_pair(SESSION, [only])) as pair:
        with refusal(ShapeError, text.format("float32[3, 4]")):
            pair.source.send(only, 0, sample(only).T)
        with refusal(ShapeError, text.format("float64[4, 3]")):
            pair.source.send(only, 0, sample(only).double())
        pair.source.send(only, 0, sample(only))
        assert same_bits(pair.target.receive(only, 0), sample(only))


def law_several_tensors_arrive_as_one_vector(make_pair: MakePair) -> None:
    """Test that several tensors, of any layout, can be sent as one message and arrive concatenated to one vector.

    Tensors with a wrong total number of elements, or with different dtypes, must be refused.
    """
    only = edge(shape=(11,))
    parts = (torch.arange(6.0).view(2, 3).T, torch.tensor(7.0).requires_grad_(), torch.eye(2).to_sparse())
    with opened(make_pair(SESSION, [only])) as pair:
        for wrong in (parts[:2], (*parts[:2], parts[2].double())):
            try:
                pair.source.send(only, 0, wrong)
            except ShapeError:
                continue
            raise AssertionError(f"expected ShapeError for {wrong}; nothing was raised")
        pair.source.send(only, 0, parts)
        expected = torch.tensor([0.0, 3, 1, 4, 2, 5, 7, 1, 0, 0, 1])
        assert same_bits(pair.target.receive(only, 0), expected)


def law_a_duplicate_is_refused(make_pair: MakePair) -> None:
    """Test that `receive` refuses a message of an earlier round (a duplicate)."""
    only = edge()
    with opened(make_pair(SESSION, [only])) as pair:
        for _ in range(2):
            pair.source.send(only, 4, sample(only))
        pair.target.receive(only, 4)
        with refusal(ProtocolError, _refusal_text("duplicate or late", 5, Tag.of(SESSION, only, 4), _ROUND)):
            pair.target.receive(only, 5)


def law_an_early_message_is_refused(make_pair: MakePair) -> None:
    """Test that `receive` refuses a message of a later round, if the message of the expected round was never sent."""
    only = edge()
    text = "A message before it was lost or skipped: restore all workers from the same checkpoint."
    with opened(make_pair(SESSION, [only])) as pair:
        pair.source.send(only, 6, sample(only))
        with refusal(ProtocolError, _refusal_text("early", 5, Tag.of(SESSION, only, 6), text)):
            pair.target.receive(only, 5)


def law_forged_messages_are_refused(make_pair: MakePair) -> None:
    """Test that `receive` refuses a message of another generation, grammar, edge, phase or round.

    The text of the error must name the workers and the remedy.
    """
    right = Tag.of(SESSION, edge(), 5)
    forgeries = (
        (right._replace(generation=1), "late", _OLD),
        (right._replace(generation=3), "early", _NEW),
        (right._replace(signature="f" * 16), "foreign", _GRAMMAR),
        (right._replace(edge=7), "foreign", _SCHEDULE),
        (right._replace(phase=2), "foreign", _SCHEDULE),
        (right._replace(round=3), "duplicate or late", _ROUND),
    )
    for tag, kind, remedy in forgeries:
        with opened(make_pair(SESSION, [edge()])) as pair:
            pair.forge(edge(), tag, sample(edge()))
            with refusal(ProtocolError, _refusal_text(kind, 5, tag, remedy)):
                pair.target.receive(edge(), 5)


def law_a_wait_ends_at_the_deadline(make_pair: MakePair) -> None:
    """Test that `receive` raises DeadlineError at the deadline if no message arrives.

    The text of the error must name both workers, the edge and the round.
    """
    only = edge()
    text = (
        "worker 'Bob' waited 0.5 s for 'Alice' to send on edge 'Alice.0 -> Bob' (query phase, round 12). "
        "See what 'Alice' is doing, or raise the deadline."
    )
    with opened(make_pair(_HASTY, [only])) as pair, refusal(DeadlineError, text):
        pair.target.receive(only, 12)


def law_a_peer_that_is_gone_is_named(make_pair: MakePair) -> None:
    """Test that `receive` raises TransportError long before the deadline if the sending process has ended.

    The text of the error must name the sender.
    """
    only = edge()
    with opened(make_pair(SESSION, [only])) as pair:
        pair.source.send(only, 0, sample(only))
        pair.target.receive(only, 0)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(pair.target.receive, only, 1)
            pair.kill()
            text = "worker 'Bob' lost 'Alice' on edge 'Alice.0 -> Bob' (query phase, round 1): ..."
            with refusal(TransportError, text):
                waiting.result()


def law_only_own_edges_can_be_used(make_pair: MakePair) -> None:
    """Test that a worker cannot receive on an edge that it sends on, or the reverse, or use a closed channel."""
    only = edge()
    text = (
        "worker {!r} cannot {} on edge 'Alice.0 -> Bob' (number 0, from 'Alice' to 'Bob'): its channel is not open, or "
        "was made without this edge. Open it first, with the edges of the worker's own projection."
    )
    with opened(make_pair(SESSION, [only])) as pair:
        with refusal(ProtocolError, text.format("Alice", "receive")):
            pair.source.receive(only, 0)
        with refusal(ProtocolError, text.format("Bob", "send")):
            pair.target.send(only, 0, sample(only))
        pair.source.close()
        pair.source.close()
        with refusal(ProtocolError, text.format("Alice", "send")):
            pair.source.send(only, 0, sample(only))


_OLD = "It was sent before the last regrouping: close all channels of the old generation first."
_NEW = "This worker missed a regrouping: open its channel in the new generation."
_GRAMMAR = "It belongs to another grammar: launch all workers with the same grammar."
_SCHEDULE = "It belongs to another edge: project all workers from the same schedule."
_ROUND = "An edge carries one message a round: restore all workers from the same checkpoint."


def _refusal_text(kind: str, round: int, arrived: Tag, remedy: str) -> str:
    phase = {0: "query", 2: "move"}[arrived.phase]
    return (
        f"worker 'Bob' refused a {kind} message from worker 'Alice' on edge 'Alice.0 -> Bob': "
        f"expected signature 0123456789abcdef, generation 2, round {round}, query phase, edge 0; "
        f"arrived signature {arrived.signature}, generation {arrived.generation}, round {arrived.round}, "
        f"{phase} phase, edge {arrived.edge}. {remedy}"
    )


LAWS: tuple[Callable[[MakePair], None], ...] = tuple(
    law for name, law in sorted(globals().items()) if name.startswith("law_")
)
"""All functions that test one rule of the contract, for a test that reports each rule separately."""
