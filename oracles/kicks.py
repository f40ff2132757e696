"""Hand-written vector-Jacobian products for the dense layers of kickback.

Such a layer also returns its kick, which autograd would record for nothing: no gradient passes through it.
"""

import sys
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from antiphon.grammars.plain import is_affine, is_plain
from antiphon.oracles.affine import affine, times
from antiphon.oracles.tape import Products, Tape
from antiphon.oracles.watch import Watch


@final
class KickTape:
    """Computes output and kick of a dense layer of kickback, and the gradients of the output, without autograd.

    linear: the submodule with weight and bias. signs: the sign of each unit; None for a layer without a rectifier.
    recorded: computes the same with autograd, if the layer was changed, or if its weights must stay coherent. Call
    `kick_of` to make this object.
    """

    def __init__(self, layer: nn.Module, linear: nn.Linear, signs: Tensor | None, recorded: Tape) -> None:
        self._layer, self._recorded, self._by_hand = layer, recorded, True
        self._watch = Watch(layer, [linear])
        self._weight, self._bias, self._signs = linear.weight, linear.bias, signs
        self._kept: tuple[Tensor, Tensor] | None = None

    def query(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return output and kick. Keep the input, and the output of the rectifier, for `respond`."""
        self._by_hand = self._watch.holds() and vars(self._layer)["weights"] != "coherent"
        if not self._by_hand:
            return self._recorded.query(inputs)
        (S,) = inputs
        played = affine(S.flatten(1), self._weight, self._bias)
        if self._signs is None:
            kick = self._weight.expand(len(S), -1)
        else:
            kick, played = times(self._signs * (played > 0), self._weight), torch.relu_(played)
        self._kept = S, played
        return played if self._signs is None else self._signs * played, kick.reshape(S.shape)

    def respond(self, cotangents: Sequence[Tensor | None], toward: Sequence[int], parameters: bool) -> Products:
        """Return two tuples: the gradient of the input if `toward` is (0,), and the gradients of weight and bias.

        cotangents: the gradients of output and kick. The second is not used, because the kick is a constant.
        parameters: whether the gradients of weight and bias are asked; else the second tuple is empty.
        """
        if not self._by_hand:
            return self._recorded.respond(cotangents, toward, parameters)
        assert self._kept is not None  # `Operator` checks it
        (S, played), told = self._kept, cotangents[0]
        if told is None:
            told = torch.zeros_like(played)
        if self._signs is not None:
            told = torch.ops.aten.threshold_backward(self._signs * told, played, 0)
        upstream = tuple([times(told, self._weight).reshape(S.shape) for _ in toward])
        return upstream, (times(told.t(), S.flatten(1)), told.sum(0)) if parameters else ()

    def forget(self) -> None:
        """Drop the values that the last query kept."""
        self._kept = None
        if not self._by_hand:
            self._recorded.forget()


def kick_of(
    function: Any,  # Any: a function or a module
    parameters: Sequence[Tensor],
    recorded: Tape,
) -> KickTape | None:
    """Return an object that computes outputs and gradients of a dense layer of kickback without autograd.

    Returns None for any other function, for a modified layer, and if `parameters` are not the layer's weight and bias.
    recorded: computes outputs and gradients with autograd, if the layer is changed later.
    """
    kicking = sys.modules.get("antiphon.grammars.library.kicking")
    kinds = (kicking.RectifierLayer, kicking.OutputLayer) if kicking else ()  # None: there is no such layer
    if not isinstance(function, kinds) or not is_plain(function, type(function)):
        return None
    linear = function.linear
    own = list(function.parameters())
    if not is_affine(linear) or len(own) != 2 or list(map(id, own)) != list(map(id, parameters)):
        return None
    return KickTape(function, linear, getattr(function, "signs", None), recorded)
