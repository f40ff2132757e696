"""Compare the signs of the numbers that a player receives with those of the gradient."""

import math

import torch
from torch import Tensor

from antiphon.checks.instance import Instance
from antiphon.checks.measured import IDLE, Measured
from antiphon.checks.witness import Witnessed
from antiphon.grammars.guarantee import PlayerLoss, SignCorrect
from antiphon.grammars.query import Port
from antiphon.grammars.response import PARAMETERS, Product

NOTHING = 1e-12
"""A number below this part of the largest number beside it counts as zero, in float64."""


def measure_signs(promise: SignCorrect, instance: Instance, round: Witnessed, player: str) -> Measured:
    """Count the pairs of example and unit that receive the opposite sign of the gradient: one player, one round."""
    if wrong := _delivered(instance, round, player):
        return wrong
    arriving = _arriving(instance, round, player, promise.loss)
    if forgotten := _forgotten(instance, round, player, promise.loss):
        return Measured(player, float("inf"), 0.0, f"deliver {player}", f"nothing is told of its use {forgotten!r}")
    if not arriving:
        return Measured(player, float("inf"), 0.0, "", "no message arrives at a product of the player's own")
    pairs, operator = sum(told.numel() for _, told, _ in arriving), arriving[0][0].node
    if not any(bool(told.any()) for _, told, _ in arriving):
        silent = sum(int((_signs(gradient) != 0).sum()) for _, _, gradient in arriving)
        detail = f"{pairs} pairs; nothing is told, where a gradient is expected"
        return Measured(player, silent, 0.0, operator, detail, "" if silent else IDLE)
    opposite, first = 0, ""
    for port, told, gradient in arriving:
        against = _signs(told) * _signs(gradient) < 0
        opposite += int(against.sum())
        if against.any() and not first:
            example = tuple(against.nonzero()[0].tolist())
            first = f"; at {port!r}, {example}: told {float(told[example]):.3g}, true {float(gradient[example]):.3g}"
            operator = port.node
    return Measured(player, opposite, 0.0, operator if opposite else "", f"{pairs} pairs{first}")


def _delivered(instance: Instance, round: Witnessed, player: str) -> Measured | None:
    """A failure if the response is not finite, or not a positive multiple of what the player's products compute."""
    names = [node.name for node in _products(instance, player)]
    ports = [port for port in (Port(name, PARAMETERS) for name in names) if port in round.messages]
    parts = [round.messages[port].reshape(-1) for port in ports]
    told, expected = round.told[player], sum(parts, torch.zeros_like(round.told[player]))
    arrived = [each for name in names for each in _messages(instance, round, name)]
    if not all(bool(each.isfinite().all()) for each in [told, *arrived]):
        return Measured(player, float("nan"), 0.0, names[-1] if names else "", "what is told is not finite")
    if not parts or not (told.any() or expected.any()):
        return None
    if told.any() and expected.any() and angle(told, expected) < math.degrees(math.sqrt(torch.finfo(told.dtype).eps)):
        return None
    teller = next(each.message.node for each in instance.grammar.response.deliveries if each.player == player)
    return Measured(player, float("inf"), 0.0, teller, f"{player!r} is told something else than its products tell")


def _forgotten(instance: Instance, round: Witnessed, player: str, loss: PlayerLoss | None) -> str:
    """A use of the player without a product in R although the loss depends on it; "" if there is none."""
    told = {node.of for node in _products(instance, player)}
    uses = [node for node in instance.grammar.query.nodes if node.owner == player and node.name not in told]
    played = round.composed.values
    ports = [port for port in played if any(port.node == node.name for node in uses)]
    gradients = round.composed.cotangents(ports, loss)
    return next((port.node for port, gradient in gradients.items() if gradient.any()), "")


def _messages(instance: Instance, round: Witnessed, name: str) -> list[Tensor]:
    return [round.messages[port] for port in instance.grammar.response.by_name[name].inputs if port in round.messages]


def _arriving(
    instance: Instance, round: Witnessed, player: str, loss: PlayerLoss | None
) -> list[tuple[Port, Tensor, Tensor]]:
    """(port of Q, message, gradient) for every output of the player's nodes for which a message arrives."""
    found: list[tuple[Port, Tensor, Tensor]] = []
    for node in _products(instance, player):
        for index, message in enumerate(node.cotangents):
            port = Port(node.of, index)
            if message is not None and message in round.messages and port in round.composed.values:
                told = round.composed.cotangents([port], loss)
                gradient = told.get(port, torch.zeros_like(round.messages[message]))
                found.append((port, round.messages[message], gradient))
    return found


def _products(instance: Instance, player: str) -> list[Product]:
    query = instance.grammar.query
    nodes = (node for node in instance.grammar.response.nodes if isinstance(node, Product) and node.parameters)
    return [node for node in nodes if query.by_name[node.of].owner == player]


def nothing(values: Tensor) -> float:
    """A number below this part of the largest value counts as zero, in the precision of the values."""
    return NOTHING * torch.finfo(values.dtype).eps / torch.finfo(torch.float64).eps


def _signs(values: Tensor) -> Tensor:
    """-1, 0 or 1; numbers that are negligible beside the largest count as zero."""
    return torch.where(values.abs() > nothing(values) * values.abs().max(), values.sign(), 0.0)


def angle(one: Tensor, two: Tensor) -> float:
    """The angle between two vectors, in degrees."""
    # Not the arc cosine, which loses half of the digits near 0 and 180 degrees.
    one, two = one / one.norm(), two / two.norm()
    return float(torch.rad2deg(2 * torch.atan2((one - two).norm(), (one + two).norm())))
