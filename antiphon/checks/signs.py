"""Measure the promise `SignCorrect`: the messages that a player receives have the same signs as the gradient."""

import math

import torch
from torch import Tensor

from antiphon.checks.measured import IDLE, Measured
from antiphon.checks.recorded import RecordedRound
from antiphon.grammars import Loss, Port, SignCorrect
from antiphon.grammars.response import PARAMETERS, Product

NOTHING = 1e-12
"""In float64, a number counts as zero if it is below this fraction of the largest number of its tensor."""


def measure_signs(promise: SignCorrect, round: RecordedRound, player: str) -> Measured:
    """Count the pairs (example, unit) for which a player's message has the opposite sign of the gradient.

    The messages are the cotangents of the player's vector-Jacobian products. The measured value is this count. It is
    infinite if a message is missing, or if the player's response is no positive multiple of the sum of these products.
    """
    if wrong := _delivered(round, player):
        return wrong
    arriving = _arriving(round, player, promise.loss)
    if forgotten := _forgotten(round, player, promise.loss):
        return Measured(
            player, float("inf"), 0.0, f"deliver {player}", f"no product sends the part of its use {forgotten!r}"
        )
    if not arriving:
        return Measured(player, float("inf"), 0.0, "", "no message arrives at a product of the player's own")
    pairs, operator = sum(told.numel() for _, told, _ in arriving), arriving[0][0].node
    if not any(bool(told.any()) for _, told, _ in arriving):
        silent = sum(int((_signs(gradient) != 0).sum()) for _, _, gradient in arriving)
        detail = f"{pairs} pairs; all messages are zero, where a gradient is expected"
        return Measured(player, silent, 0.0, operator, detail, "" if silent else IDLE)
    opposite, first = 0, ""
    for port, told, gradient in arriving:
        against = _signs(told) * _signs(gradient) < 0
        opposite += int(against.sum())
        if against.any() and not first:
            example = tuple(against.nonzero()[0].tolist())
            first = (
                f"; at {port!r}, {example}: received {float(told[example]):.3g}, true {float(gradient[example]):.3g}"
            )
            operator = port.node
    return Measured(player, opposite, 0.0, operator if opposite else "", f"{pairs} pairs{first}")


def _delivered(round: RecordedRound, player: str) -> Measured | None:
    """Return a failure if the response to a player is not what the player's vector-Jacobian products compute.

    The response must be finite, and a positive multiple of the sum of these products. Returns None if it is.
    """
    products, messages, told = _products(round, player), round.messages, round.responses[player]
    ports = [port for port in (Port(node.name, PARAMETERS) for node in products) if port in messages]
    expected = sum((messages[port].reshape(-1) for port in ports), torch.zeros_like(told))
    arrived = [messages[port] for node in products for port in node.inputs if port in messages]
    if not all(bool(each.isfinite().all()) for each in [told, *arrived]):
        operator = products[-1].name if products else ""
        return Measured(player, float("nan"), 0.0, operator, "the response or a message is not finite")
    if not ports or not (told.any() or expected.any()):
        return None
    if told.any() and expected.any() and angle(told, expected) < math.degrees(math.sqrt(torch.finfo(told.dtype).eps)):
        return None
    teller = next(each.message.node for each in round.composed.grammar.response.deliveries if each.player == player)
    return Measured(player, float("inf"), 0.0, teller, f"the response to {player!r} is not what its products compute")


def _forgotten(round: RecordedRound, player: str, loss: Loss | None) -> str:
    """Return the name of a node of the player for which the Response graph has no vector-Jacobian product.

    Only nodes on which the loss depends count. Returns "" if no product is missing.
    """
    told = {node.of for node in _products(round, player)}
    by_name = round.composed.grammar.query.by_name
    ports = [each for each in round.composed.values if by_name[each.node].owner == player and each.node not in told]
    gradients = round.composed.cotangents(ports, loss)
    return next((port.node for port, gradient in gradients.items() if gradient.any()), "")


def _arriving(round: RecordedRound, player: str, loss: Loss | None) -> list[tuple[Port, Tensor, Tensor]]:
    """Return (port of the output, message, gradient) for every output of the player's nodes that has a message.

    message: the cotangent in the player's vector-Jacobian product. gradient: torch's gradient of the loss.
    """
    values, messages = round.composed.values, round.messages
    taken = [
        (Port(node.of, index), messages[message])
        for node in _products(round, player)
        for index, message in enumerate(node.cotangents)
        if message is not None and message in messages and Port(node.of, index) in values
    ]
    gradients = round.composed.cotangents(dict.fromkeys(port for port, _ in taken), loss)
    return [(port, told, gradients.get(port, torch.zeros_like(told))) for port, told in taken]


def _products(round: RecordedRound, player: str) -> list[Product]:
    grammar = round.composed.grammar
    nodes = (node for node in grammar.response.nodes if isinstance(node, Product) and node.parameters)
    return [node for node in nodes if grammar.query.by_name[node.of].owner == player]


def nothing(values: Tensor) -> float:
    """Return the relative size below which a number counts as zero, for the dtype of `values`.

    The size is relative to the largest number of a tensor.
    """
    return NOTHING * torch.finfo(values.dtype).eps / torch.finfo(torch.float64).eps


def _signs(values: Tensor) -> Tensor:
    """Return the signs -1, 0 or 1 of all numbers. Numbers far smaller than the largest number count as zero."""
    return torch.where(values.abs() > nothing(values) * values.abs().max(), values.sign(), 0.0)


def angle(one: Tensor, two: Tensor) -> float:
    """Return the angle between two vectors, in degrees."""
    # Not the arc cosine, which loses half of the digits near 0 and 180 degrees.
    one, two = one / one.norm(), two / two.norm()
    return float(torch.rad2deg(2 * torch.atan2((one - two).norm(), (one + two).norm())))
