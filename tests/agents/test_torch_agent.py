"""TorchAgent: every optimizer and scheduler of torch.optim, stepped as torch steps it, and continued exactly."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from antiphon.agents import TorchAgent
from antiphon.agents.optimizers import REFUSED_OPTIMIZERS, REFUSED_SCHEDULERS
from antiphon.errors import ExperimentError
from antiphon.testing import check_agent

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "fused": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "foreach": True}),
    ("Adam", {"fused": False, "weight_decay": 0.1}),
    ("AdamW", {"betas": (0.5, 0.9)}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Adagrad", {"initial_accumulator_value": 0.1}),
    ("Adadelta", {}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Rprop", {}),
    ("Rprop", {"maximize": True}),
    ("ASGD", {"t0": 1.0}),
    ("Adafactor", {}),
]
SCHEDULERS: list[tuple[str, dict[str, Any]]] = [
    ("StepLR", {"step_size": 2}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 5}),
    ("LinearLR", {"total_iters": 6}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 20}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2}),
    ("MultiStepLR", {"milestones": (2, 5)}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3}),
    ("PolynomialLR", {"total_iters": 8}),
    ("ConstantLR", {"total_iters": 5}),
]


def tensors(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (((5, 3), torch.float32), ((5,), torch.float32), ((2, 2), torch.float64))
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape, dtype in shapes]


def play(agent: TorchAgent, rounds: range) -> Sequence[Tensor]:
    moved: Sequence[Tensor] = ()
    for round in rounds:
        agent.hear(tensors(100 + round))
        moved = agent.move()
    return [tensor.clone() for tensor in moved]


def equal(these: Sequence[Tensor], those: Sequence[Tensor]) -> bool:
    return len(these) == len(those) and all(map(torch.equal, these, those))


@pytest.mark.parametrize(("optimizer", "arguments"), OPTIMIZERS, ids=str)
def test_every_optimizer_passes_the_suite(optimizer: str, arguments: dict[str, Any]):
    check_agent(TorchAgent, optimizer=optimizer, arguments=arguments)


@pytest.mark.parametrize(("scheduler", "arguments"), SCHEDULERS, ids=str)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_every_scheduler_passes_the_suite(optimizer: str, scheduler: str, arguments: dict[str, Any]):
    own = {"lr": 0.05, "momentum": 0.9} if optimizer == "SGD" else {}
    check_agent(TorchAgent, optimizer=optimizer, arguments=own, scheduler=scheduler, scheduler_arguments=arguments)


@pytest.mark.parametrize(
    "clips", [{"clip_norm": 0.5}, {"clip_value": 0.2}, {"clip_norm": 0.5, "clip_value": 0.2}], ids=str
)
def test_clipping_passes_the_suite(clips: dict[str, float]):
    check_agent(TorchAgent, optimizer="SGD", arguments={"lr": 0.1}, **clips)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_muon_moves_matrices_and_continues_exactly():
    matrices = [tensors(0)[0]]
    agent = TorchAgent(matrices, optimizer="Muon")
    agent.hear(tensors(1)[:1])
    agent.move()
    other = TorchAgent([matrices[0].clone()], optimizer="Muon")
    other.load(agent.state())
    for one in (agent, other):
        one.hear(tensors(2)[:1])
    assert equal(agent.move(), other.move())


@pytest.mark.parametrize(("optimizer", "arguments"), OPTIMIZERS, ids=str)
def test_moves_are_those_of_torch_bitwise(optimizer: str, arguments: dict[str, Any]):
    ours, theirs = tensors(0), tensors(0)
    fused = (
        {"fused": True}
        if optimizer in ("Adam", "AdamW", "Adagrad") and not {"fused", "foreach"} & set(arguments)
        else {}
    )
    reference = getattr(torch.optim, optimizer)(theirs, **arguments, **fused)
    for round in range(7):
        for parameter, gradient in zip(theirs, tensors(100 + round), strict=True):
            parameter.grad = gradient
        reference.step()
    assert equal(play(TorchAgent(ours, optimizer=optimizer, arguments=arguments), range(7)), theirs)


@pytest.mark.parametrize(("optimizer", "arguments"), OPTIMIZERS, ids=str)
@pytest.mark.parametrize(("scheduler", "scheduled"), [("OneCycleLR", SCHEDULERS[4][1]), ("StepLR", SCHEDULERS[0][1])])
def test_saved_midway_and_loaded_elsewhere_continues_bitwise(
    optimizer: str, arguments: dict[str, Any], scheduler: str, scheduled: dict[str, Any]
):
    if scheduler == "OneCycleLR" and optimizer in (
        "SGD",
        "Adagrad",
        "Adadelta",
        "Rprop",
        "ASGD",
        "Adafactor",
        "RMSprop",
    ):
        scheduled = {**scheduled, "cycle_momentum": bool(arguments.get("momentum"))}
    options = {"optimizer": optimizer, "arguments": arguments, "scheduler": scheduler, "scheduler_arguments": scheduled}
    whole = tensors(0)
    agent = TorchAgent(whole, **options)
    play(agent, range(5))
    state, midway = copy.deepcopy(agent.state()), [tensor.clone() for tensor in whole]
    resumed = TorchAgent(midway, **options)
    resumed.load(state)
    assert equal(play(resumed, range(5, 11)), play(agent, range(5, 11)))


@pytest.mark.parametrize(("scheduler", "arguments"), SCHEDULERS, ids=str)
def test_the_learning_rate_is_that_of_torch(scheduler: str, arguments: dict[str, Any]):
    ours, theirs = tensors(0), tensors(0)
    own: dict[str, Any] = {"lr": 0.05, "momentum": 0.9}
    reference = torch.optim.SGD(theirs, **own)
    schedule = getattr(torch.optim.lr_scheduler, scheduler)(reference, **arguments)
    for round in range(9):
        for parameter, gradient in zip(theirs, tensors(100 + round), strict=True):
            parameter.grad = gradient
        reference.step()
        schedule.step()
    agent = TorchAgent(ours, optimizer="SGD", arguments=own, scheduler=scheduler, scheduler_arguments=arguments)
    assert equal(play(agent, range(9)), theirs)


@pytest.mark.parametrize("scheduler", [None, "ConstantLR"])
def test_hooks_of_all_optimizers_see_every_step(scheduler):
    agent, seen = TorchAgent(tensors(0), optimizer="SGD", scheduler=scheduler), []
    play(agent, range(1))
    before = register_optimizer_step_pre_hook(lambda *_: seen.append("before"))
    after = register_optimizer_step_post_hook(lambda *_: seen.append("after"))
    play(agent, range(2))
    before.remove()
    after.remove()
    play(agent, range(1))
    assert seen == ["before", "after"] * 2


def test_steps_in_place_and_takes_gradients_without_a_copy():
    parameters, response = tensors(0), tensors(1)
    agent = TorchAgent(parameters)
    agent.hear(response)
    assert all(parameter.grad is tensor for parameter, tensor in zip(parameters, response, strict=True))
    assert all(moved is parameter for moved, parameter in zip(agent.move(), parameters, strict=True))
    assert all(parameter.grad is None for parameter in parameters)


@pytest.mark.parametrize("norm", [0.5, 100.0])
def test_clips_by_value_then_by_norm_as_torch_does(norm: float):
    ours, theirs = tensors(0), tensors(0)
    for parameter, gradient in zip(theirs, tensors(1), strict=True):
        parameter.grad = gradient
    torch.nn.utils.clip_grad_value_(theirs, 0.3)
    torch.nn.utils.clip_grad_norm_(theirs, norm)
    torch.optim.SGD(theirs, lr=0.1).step()
    agent = TorchAgent(ours, optimizer="SGD", arguments={"lr": 0.1}, clip_norm=norm, clip_value=0.3)
    agent.hear(tensors(1))
    assert equal(agent.move(), theirs)


def test_every_optimizer_of_torch_is_supported_or_refused_by_name():
    kinds = {name for name, kind in vars(torch.optim).items() if isinstance(kind, type)} - {"Optimizer"}
    assert kinds <= {name for name, _ in OPTIMIZERS} | {"Muon"} | set(REFUSED_OPTIMIZERS)


def test_every_scheduler_of_torch_is_supported_or_refused_by_name():
    root = torch.optim.lr_scheduler.LRScheduler
    public = {
        name: kind for name, kind in vars(torch.optim.lr_scheduler).items() if name[0] != "_" and kind is not root
    }
    kinds = {name for name, kind in public.items() if isinstance(kind, type) and issubclass(kind, root)}
    assert kinds <= {name for name, _ in SCHEDULERS} | set(REFUSED_SCHEDULERS)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"optimizer": "adamw"},
            "torch.optim has no optimizer 'adamw' for players; "
            "expected 'AdamW' or 'Adam' or 'RAdam'. Correct the name.",
        ),
        (
            {"optimizer": "LBFGS"},
            "optimizer 'LBFGS' is not for players: it evaluates the loss again within a move, and a player receives "
            "one response per round. Name another, such as 'Adam' or 'SGD'.",
        ),
        (
            {"optimizer": "Adagrad", "arguments": {"momentum": 0.9}},
            "optimizer 'Adagrad' takes no argument 'momentum'; expected some of lr, lr_decay, weight_decay, "
            "initial_accumulator_value, eps, foreach, maximize, differentiable, fused. Remove or rename it.",
        ),
        (
            {"arguments": {"lr": -1.0}},
            "optimizer 'Adam' refuses its arguments {'lr': -1.0}: Invalid learning rate: -1.0. Correct the values.",
        ),
        (
            {"arguments": {"differentiable": True}},
            "optimizer 'Adam' was asked to be differentiable; expected a move that nothing differentiates through. "
            "Remove 'differentiable'.",
        ),
        (
            {"scheduler": "StepLRs"},
            "torch.optim.lr_scheduler has no scheduler 'StepLRs' for players; expected 'StepLR' or 'MultiStepLR'. "
            "Correct the name.",
        ),
        (
            {"scheduler": "LambdaLR"},
            "scheduler 'LambdaLR' is not for players: a checkpoint cannot hold its function. "
            "Name another, such as 'CosineAnnealingLR' or 'OneCycleLR'.",
        ),
        (
            {"scheduler": "ReduceLROnPlateau"},
            "scheduler 'ReduceLROnPlateau' is not for players: it follows a metric, and an agent receives responses "
            "only. Name another, such as 'CosineAnnealingLR' or 'OneCycleLR'.",
        ),
        (
            {"scheduler": "StepLR", "scheduler_arguments": {"gama": 0.1}},
            "scheduler 'StepLR' takes no argument 'gama'; expected some of step_size, gamma. Remove or rename it.",
        ),
        (
            {"scheduler": "StepLR"},
            "scheduler 'StepLR' refuses its arguments {}: "
            "StepLR.__init__() missing 1 required positional argument: 'step_size'. Correct the values.",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_refuses_what_torch_or_a_player_cannot_use(options: dict[str, Any], text: str):
    with pytest.raises(ExperimentError) as caught:
        TorchAgent(tensors(0), **options)
    assert str(caught.value) == text


def test_refuses_the_state_of_another_optimizer():
    with pytest.raises(ExperimentError) as caught:
        TorchAgent(tensors(0), optimizer="SGD").load(TorchAgent(tensors(0), optimizer="Adam").state())
    assert str(caught.value) == (
        "the torch agent with optimizer 'SGD' and scheduler None cannot continue from a state of optimizer 'Adam' and "
        "scheduler None. Resume with those that were saved."
    )
