"""Computes all-reduces by messages between all pairs of replicas, for channels without an all-reduce of their own."""

from collections.abc import Callable
from typing import TypeAlias, final

import torch
from torch import Tensor

from antiphon.transport.message import Edge, Reduction

Sender: TypeAlias = Callable[[Edge, int, Tensor], int]
Receiver: TypeAlias = Callable[[Edge, int], Tensor]


@final
class Pairwise:
    """Computes the all-reduces of one worker with the `send` and `receive` of a channel, which check each term.

    me: this worker. All workers add the terms in the order of the reduction's workers, so that all get the same bits.
    """

    def __init__(self, me: str, send: Sender, receive: Receiver) -> None:
        self._me, self._send, self._receive = me, send, receive
        self._own: dict[int, Tensor] = {}

    def contribute(self, reduction: Reduction, round: int, value: Tensor) -> int:
        """Send this worker's term to every other worker, and keep a copy for the own sum. Returns the bytes sent."""
        self._own[reduction.number] = value.detach().clone()
        return sum(self._send(edge, round, value) for edge in reduction.edges_of(self._me) if edge.source == self._me)

    def collect(self, reduction: Reduction, round: int) -> Tensor:
        """Receive the term of every other worker, and return the sum of all terms."""
        terms = {
            edge.source: self._receive(edge, round) for edge in reduction.edges_of(self._me) if edge.target == self._me
        }
        terms[self._me] = self._own.pop(reduction.number)
        first, *others = (terms[worker] for worker in reduction.workers)
        total = first.clone()
        with torch.no_grad():
            for term in others:
                total += term
        return total


@final
class PairwiseSum:
    """One worker's part in one all-reduce, computed by messages between all pairs of workers."""

    def __init__(self, sums: Pairwise, reduction: Reduction) -> None:
        self._sums, self._reduction = sums, reduction

    def contribute(self, round: int, value: Tensor) -> int:
        """Send this worker's term to every other worker. Returns the bytes sent."""
        return self._sums.contribute(self._reduction, round, value)

    def collect(self, round: int) -> Tensor:
        """Wait for the terms of all other workers, and return the sum of all terms."""
        return self._sums.collect(self._reduction, round)
