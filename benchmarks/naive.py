"""A naive way to train a network on Ray: an actor per layer, an actor call per message, and tensors passed by
reference.
"""

from collections.abc import Sequence
from typing import Any

import ray
import torch
from torch import Tensor, nn


class NaiveLayer:
    """One layer with its optimizer in a process of its own. Other processes call `forward` and `backward`."""

    def __init__(self, module: nn.Module, rate: float) -> None:
        torch.set_num_threads(1)
        self._module = module
        self._optimizer = torch.optim.SGD(module.parameters(), lr=rate)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, and keep what the backward pass needs."""
        self._input = x.clone().requires_grad_()  # Ray's arguments are in read-only memory
        self._output = self._module(self._input)
        return self._output.detach()

    def backward(self, cotangent: Tensor) -> Tensor | None:
        """Update the layer's parameters. Returns the gradient with respect to the layer's input.

        cotangent: the gradient with respect to the layer's output.
        """
        self._optimizer.zero_grad()
        self._output.backward(cotangent)
        self._optimizer.step()
        return self._input.grad


class NaiveLoss:
    """The loss in a process of its own. `both` computes it and its gradient."""

    def both(self, output: Tensor, target: Tensor) -> tuple[float, Tensor | None]:
        """Return the loss, and its gradient with respect to the network's output."""
        leaf = output.clone().requires_grad_()
        loss = nn.functional.cross_entropy(leaf, target)
        loss.backward()
        return loss.item(), leaf.grad


class NaiveData:
    """Inputs and labels in a process of their own. `sample` returns the next batch at each call."""

    def __init__(self, x: Tensor, y: Tensor, batch: int) -> None:
        self._batches = x.split(batch), y.split(batch)
        self._round = 0

    def sample(self) -> tuple[Tensor, Tensor]:
        """Return the next batch of inputs and labels."""
        inputs, labels = self._batches
        self._round += 1
        return inputs[self._round % len(inputs)], labels[self._round % len(inputs)]


class NaiveNetwork:
    """A network on Ray: data, layers and loss, each in an actor.

    The driver passes object references between their calls.
    """

    def __init__(self, modules: Sequence[nn.Module], x: Tensor, y: Tensor, rate: float, batch: int) -> None:
        remote: Any = ray.remote  # Any: its stubs do not know actor options
        self._nature = remote(num_cpus=0)(NaiveData).remote(x, y, batch)
        self._layers = [remote(num_cpus=0)(NaiveLayer).remote(module, rate) for module in modules]
        self._loss = remote(num_cpus=0)(NaiveLoss).remote()

    def play(self, rounds: int) -> float:
        """Play rounds (forward pass, backward pass and updates). Returns the last loss."""
        return [self._play() for _ in range(rounds)][-1]

    def close(self) -> None:
        """Stop the actors."""
        for each in [self._nature, *self._layers, self._loss]:
            ray.kill(each)

    def _play(self) -> float:
        x, y = self._nature.sample.options(num_returns=2).remote()
        for layer in self._layers:
            x = layer.forward.remote(x)
        loss, gradient = self._loss.both.options(num_returns=2).remote(x, y)
        for layer in reversed(self._layers):
            gradient = layer.backward.remote(gradient)
        ray.get(gradient)
        return ray.get(loss)
