"""The default agent: an optimizer of torch.optim, with gradient clipping and a learning rate scheduler."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from antiphon.agents.layout import laid_out, strides_of_gradient
from antiphon.agents.optimizers import make_optimizer, make_scheduler
from antiphon.agents.shards import in_parts, whole
from antiphon.errors import ExperimentError
from antiphon.grammars.oracle import State


@final
class TorchAgent:
    """Updates parameters in place with `torch.optim.<optimizer>(parameters, **arguments)`.

    parameters: leaf tensors. They are updated in place and returned by `move`; the agent also uses their `grad`.
    clip_value: each element of the response is first clipped to [-clip_value, clip_value].
    clip_norm: the response of all parameters together is then scaled down to at most this Euclidean norm.
    scheduler: the name of a class of `torch.optim.lr_scheduler`; it takes one step per move.
    Raises ExperimentError for names and arguments that torch does not have or a player cannot use.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        optimizer: str = "Adam",
        arguments: Mapping[str, Any] | None = None,  # Any: whatever the optimizer takes
        clip_norm: float | None = None,
        clip_value: float | None = None,
        scheduler: str | None = None,
        scheduler_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self._parameters = tuple(parameters)
        self._strides = tuple(map(strides_of_gradient, self._parameters))
        self._clip_norm, self._clip_value = clip_norm, clip_value
        self._names, self._arguments = (optimizer, scheduler), dict(arguments or {})
        self._optimizer = make_optimizer(optimizer, self._parameters, self._arguments)
        schedule = dict(scheduler_arguments or {})
        self._scheduler = make_scheduler(scheduler, self._optimizer, schedule) if scheduler else None
        self._step = self._optimizer.step if self._scheduler else _lean_step(self._optimizer, self._optimizer.step)

    def hear(self, response: Sequence[Tensor]) -> None:
        """Receive a gradient, without a copy if it has the strides that its parameter needs.

        Further responses before the move are added, in new memory.
        """
        for parameter, gradient, strides in zip(self._parameters, response, self._strides, strict=True):
            held, gradient = parameter.grad, laid_out(gradient, strides)
            parameter.grad = gradient if held is None else held + gradient

    def move(self) -> Sequence[Tensor]:
        """Update the parameters in place, and return them."""
        if self._clip_value is not None or self._clip_norm is not None:
            self._clip()
        with torch.no_grad():
            self._step()
        for parameter in self._parameters:
            parameter.grad = None
        if self._scheduler is not None:
            self._scheduler.step()
        return self._parameters

    @property
    def settings(self) -> State:
        """The optimizer's name and its current settings (its parameter group), without the parameters."""
        (group,) = self._optimizer.param_groups
        return {"optimizer": self._names[0]} | {key: _copy(value) for key, value in group.items() if key != "params"}

    def report(self) -> Mapping[str, float]:
        """Return the current learning rate as "lr", for the metrics of a run. Empty if the optimizer has none."""
        rate = self._optimizer.param_groups[0].get("lr")
        return {} if rate is None else {"lr": float(rate)}

    @staticmethod
    def joint_move(agents: Sequence["TorchAgent"]) -> Callable[[], object] | None:
        """Return a function that moves all agents with one step of one optimizer, with the bits of separate moves.

        Returns None if the agents have different `settings`, or if only some of them have moved before. They neither
        clip nor follow a schedule. Each agent keeps its state: the joint optimizer writes into the same dicts. If torch
        has hooks for all optimizers, the function moves the agents one by one.
        """
        parameters = [each for agent in agents for each in agent._parameters]
        # The fused step of SGD fails if some of its parameters have a momentum and others have none yet.
        begun = {bool(agent._optimizer.state[each]) for agent in agents for each in agent._parameters}
        if len(begun) > 1 or any(agent.settings != agents[0].settings for agent in agents):
            return None
        joint = make_optimizer(agents[0]._names[0], parameters, agents[0]._arguments)
        (own,), (group,) = joint.param_groups, agents[0]._optimizer.param_groups
        own.update({key: value for key, value in group.items() if key != "params"})
        joint.state.update({each: agent._optimizer.state[each] for agent in agents for each in agent._parameters})
        step = _lean_step(joint, lambda: [agent.move() for agent in agents])

        @torch.no_grad()
        def move() -> None:
            step()
            for parameter in parameters:
                parameter.grad = None

        return move

    def _clip(self) -> None:
        """Clip the gradients like torch's clip_grad_value_ and clip_grad_norm_, but not in place: responses are read
        only.
        """
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        if self._clip_value is not None:
            gradients = [gradient.clamp(-self._clip_value, self._clip_value) for gradient in gradients]
        if self._clip_norm is not None:
            scale = torch.clamp(self._clip_norm / (get_total_norm(gradients) + 1e-6), max=1.0)
            gradients = [gradient * scale for gradient in gradients]
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient

    def state(self) -> State:
        """Return a copy of the state of optimizer and scheduler, with parameters numbered by position."""
        (group,) = self._optimizer.param_groups
        memory = {
            str(index): {key: _copy(value) for key, value in self._optimizer.state[parameter].items()}
            for index, parameter in enumerate(self._parameters)
            if self._optimizer.state.get(parameter)
        }
        return {
            "optimizer": self._names[0],
            "memory": memory,
            "group": {key: _copy(value) for key, value in group.items() if key != "params"},
            "scheduler": self._names[1],
            "schedule": _schedule(self._scheduler) if self._scheduler is not None else {},
        }

    def load(self, state: State) -> None:
        """Continue exactly from a saved state.

        Raises ExperimentError if the state is of another optimizer or scheduler.
        """
        arrived = (state.get("optimizer"), state.get("scheduler"))
        if arrived != self._names:
            raise ExperimentError(
                f"the torch agent with optimizer {self._names[0]!r} and scheduler {self._names[1]!r} cannot continue "
                f"from a state of optimizer {arrived[0]!r} and scheduler {arrived[1]!r}. "
                "Resume with those that were saved."
            )
        # Optimizer.load_state_dict casts every floating state to the dtype of its parameter, which is not exact
        # (NAdam keeps a float32 product beside float64 parameters). The dicts stay, because a joint move shares them.
        for memory in self._optimizer.state.values():
            memory.clear()
        (group,) = self._optimizer.param_groups
        apart = frozenset() if group.get("fused") or group.get("capturable") else _COUNTS
        for index, memory in state["memory"].items():
            parameter = self._parameters[int(index)]
            self._optimizer.state[parameter].update(
                {key: _copy(value) if key in apart else _placed(value, parameter) for key, value in memory.items()}
            )
        group.update({key: _copy(value) for key, value in state["group"].items()})
        if self._scheduler is not None:
            self._scheduler.load_state_dict({key: _copy(value) for key, value in state["schedule"].items()})


_HOOKS = (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)
"""Hooks that torch calls for every optimizer; they may be registered before or after an agent is made."""


def _lean_step(optimizer: Optimizer, hooked: Callable[[], object]) -> Callable[[], object]:
    """Return a function that steps the optimizer without torch's wrapper for profiler and hooks.

    The wrapper takes as long as an SGD step. hooked: the function to call instead if torch has global hooks. A
    scheduler needs the wrapped step, because it checks that this step was called.
    """
    lean = functools.partial(inspect.unwrap(type(optimizer).step), optimizer)
    return lambda: hooked() if _HOOKS[0] or _HOOKS[1] else lean()


def _schedule(scheduler: LRScheduler) -> State:
    """Return the entries of a scheduler's state that are plain values. Nested entries (milestones, phases) are left
    out.

    Nested entries follow from the scheduler's arguments.
    """
    return {key: _copy(value) for key, value in scheduler.state_dict().items() if _is_leaf(value)}


def _is_leaf(value: object) -> bool:
    if isinstance(value, list):
        return all(not isinstance(item, list) and _is_leaf(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str | Tensor)


def _copy(value: Any) -> Any:  # Any: leaves of a state have many types
    """Return a copy of a value of the optimizer's state. Tuples (betas) become lists, which torch accepts, too."""
    if isinstance(value, Tensor):
        return whole(value)
    if isinstance(value, tuple | list):
        return [_copy(item) for item in value]
    return value


_COUNTS = frozenset({"step", "mu_product"})
"""State that torch.optim keeps on the CPU for parameters on any device, except with fused or capturable kernels."""


def _placed(value: Any, parameter: Tensor) -> Any:  # Any: see `_copy`
    """Copy a value of the optimizer's state to the device of its parameter, with its sharding and strides."""
    copied = _copy(value)
    if not isinstance(copied, Tensor):
        return copied
    placed = in_parts(copied.to(parameter.device), parameter)
    return laid_out(placed, strides_of_gradient(parameter)) if placed.shape == parameter.shape else placed
