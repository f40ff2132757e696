"""Order in memory: whatever that of parameters and responses is, moves are those of plain PyTorch to the last bit."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor, nn
from torch.optim import Adam

from antiphon.agents import AgentSpecification, Player, TorchAgent
from antiphon.agents.arglocopt import arglocmin
from antiphon.agents.layout import is_dense, laid_out, strides_of_gradient
from antiphon.agents.optimizers import FASTER_FUSED, REFUSED_OPTIMIZERS
from antiphon.errors import AgentError, GrammarError
from antiphon.grammars.factory import Factory
from antiphon.grammars.states import map_tensors

ROUNDS = 6
OPTIMIZERS = sorted(
    {name for name, kind in vars(torch.optim).items() if isinstance(kind, type)} - {"Optimizer", *REFUSED_OPTIMIZERS}
)
KERNELS = {"default": {}, "plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
STRESS = {"weight_decay": 0.1, "maximize": True, "momentum": 0.5, "nesterov": True, "amsgrad": True, "centered": True}
"""Arguments under which an optimizer computes something from the gradient first; each takes those that it knows."""


def gapless() -> list[Tensor]:
    """Parameters that fill their memory, in several orders."""
    shapes = [torch.randn(4, 3), torch.randn(3, 4).t(), torch.randn(4, 2, 3).permute(2, 0, 1), torch.randn(1, 5)]
    images = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    return [*shapes, images, torch.randn(0, 3), torch.randn(()), torch.randn(3, 5).double().t()]


def matrices() -> list[Tensor]:
    return [torch.randn(4, 3), torch.randn(3, 4).t(), torch.randn(1, 5)]


def gapped() -> list[Tensor]:
    """Parameters that are views with gaps."""
    return [torch.randn(4, 6)[:, ::2], torch.randn(5, 4).t()[1:]]


def reversed_order(value: Tensor) -> Tensor:
    backwards = tuple(reversed(range(value.ndim)))
    return value.permute(backwards).contiguous().permute(backwards)


def every_second(value: Tensor) -> Tensor:
    return torch.stack([value, torch.full_like(value, 7)], dim=-1)[..., 0]


def expanded(value: Tensor) -> Tensor:
    return value.sum().expand(value.shape)  # what autograd answers to w.sum()


LAYOUTS: list[Callable[[Tensor], Tensor]] = [
    *(torch.clone, lambda value: value.clone(memory_format=torch.contiguous_format), reversed_order),
    *(every_second, expanded, lambda value: value.to_sparse() if value.ndim else value),
]


def arguments_of(name: str, kernel: str, stressed: bool) -> dict[str, Any] | None:
    """None where the optimizer has no such kernel, or takes nothing more."""
    known = inspect.signature(getattr(torch.optim, name)).parameters
    stress = {key: value for key, value in STRESS.items() if key in known} if stressed else {}
    if not KERNELS[kernel].keys() <= known.keys() or (stressed and not stress):
        return None
    own = {"lr": 0.01} if name == "SGD" else {}
    return {**own, **KERNELS[kernel], **stress}


CASES = [
    pytest.param(name, found, parameters, id=f"{name}-{kernel}-{stressed}-{parameters.__name__}")
    for name in OPTIMIZERS
    for kernel in KERNELS
    for stressed in (False, True)
    for parameters in ((matrices,) if name == "Muon" else (gapless, gapped))
    if (found := arguments_of(name, kernel, stressed)) is not None and not (kernel == "fused" and parameters is gapped)
]


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Leaves with the same strides, gaps included."""
    made = [torch.empty_strided(each.shape, each.stride(), dtype=each.dtype) for each in tensors]
    for copy, each in zip(made, tensors, strict=True):
        copy.copy_(each)
    return [each.requires_grad_() for each in made]


def reference(name: str, parameters: Sequence[Tensor], arguments: dict[str, Any]) -> torch.optim.Optimizer:
    """torch's own, with the kernels that antiphon takes where none is asked for."""
    faster = name in FASTER_FUSED and not {"foreach", "fused"} & arguments.keys() and all(map(is_dense, parameters))
    return getattr(torch.optim, name)(parameters, **arguments, **({"fused": True} if faster else {}))


@pytest.mark.parametrize(("name", "arguments", "parameters"), CASES)
def test_moves_are_those_of_backward_and_step(name, arguments, parameters):
    """The truth is `Tensor.backward`, which lays gradients out as their parameters lie, and then the optimizer's step.

    Parameters with gaps have no fused kernels in truth: torch's run over the gaps.
    """
    torch.manual_seed(0)
    start = [each for each in parameters() if each.numel() or name != "Adafactor"]  # it divides by their number
    ours, theirs = copies(start), copies(start)
    agent, torchs = TorchAgent(ours, optimizer=name, arguments=arguments), reference(name, theirs, arguments)
    for round in range(ROUNDS):
        values = [torch.randn_like(each) for each in start]
        told = [LAYOUTS[(round + index) % len(LAYOUTS)](value) for index, value in enumerate(values)]
        before = [each.to_dense().clone() for each in told]
        for own, gradient in zip(theirs, told, strict=True):
            own.grad = None
            own.backward(gradient.to_dense())
        torchs.step()
        agent.hear(told)
        moved = agent.move()
        assert all(map(torch.equal, moved, theirs))
        assert all(map(torch.equal, map(Tensor.to_dense, told), before))
        if round == 2:  # as a file gives it back: without the order in memory
            saved = map_tensors(agent.state(), lambda each: each.contiguous().clone())
            agent = TorchAgent(ours, optimizer=name, arguments=arguments)
            agent.load(saved)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if arguments_of(name, "fused", False)])
def test_fused_kernels_are_refused_for_memory_with_gaps(name):
    specification = AgentSpecification.of(name, {"fused": True})
    with pytest.raises(AgentError, match=r"'x'.*fused=True.*gaps.*\(4, 3\) with strides \(6, 2\).*Remove 'fused'"):
        specification.make("x", gapped())


@st.composite
def views(draw: st.DrawFn, shape: tuple[int, ...]) -> Tensor:
    """A tensor of this shape, its dimensions in any order in memory, with or without gaps, some of them expanded."""
    order = draw(st.permutations(range(len(shape))))
    step = draw(st.sampled_from([1, 2, 3]))
    sizes = [shape[index] for index in order]
    whole = torch.randn([*sizes, step])[..., 0].permute([order.index(index) for index in range(len(shape))])
    narrow = tuple(slice(0, 1) if draw(st.booleans()) and size else slice(None) for size in shape)
    return whole[narrow].expand(shape) if draw(st.booleans()) else whole


def matters(value: Tensor) -> list[int]:
    """The strides that are walked."""
    walked = [stride for stride, size in zip(value.stride(), value.shape, strict=True) if size > 1]
    return walked if value.numel() else []


@given(st.data())
def test_a_value_is_laid_out_as_its_parameter_and_copied_only_if_it_was_not(data):
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=4), label="shape"))
    value, parameter = data.draw(views(shape), label="value"), data.draw(views(shape), label="parameter")
    leaf = parameter.detach().requires_grad_()
    leaf.backward(value)
    assert leaf.grad is not None  # torch's own layout of this gradient
    strides = strides_of_gradient(parameter)
    found = laid_out(value, strides)
    assert torch.equal(found, value) and found.stride() == strides
    assert (found is value) == (value.stride() == strides)
    assert is_dense(found) and (matters(found) == matters(leaf.grad))


class Strides:
    """An agent that moves nowhere, and notes the strides of what it was lent."""

    seen: ClassVar[list[tuple[tuple[int, ...], tuple[int, ...]]]] = []

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters

    def hear(self, response: Sequence[Tensor]) -> None:
        self.seen.extend((own.stride(), each.stride()) for own, each in zip(self.parameters, response, strict=True))

    def move(self) -> Sequence[Tensor]:
        return self.parameters

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None: ...


def column_major() -> nn.Module:
    module = nn.Linear(4, 3)
    module.weight = nn.Parameter(torch.randn(4, 3).t())
    return module


def test_a_strangers_agent_hears_in_the_order_of_its_parameters(named):
    Strides.seen.clear()
    player = Player("x", Factory.of(column_major), AgentSpecification.of(agent=named(Strides)), seed=0)
    for response in (torch.randn(15), [torch.randn(3, 4), torch.zeros(()).expand(3)]):
        player.hear(response)
        player.move(0)
    assert Strides.seen == 2 * [((1, 3), (1, 3)), ((1,), (1,))]


def sharing(kind: str) -> nn.Module:
    module, base = nn.Module(), torch.zeros(6)
    if kind == "expanded":
        module.register_parameter("w", nn.Parameter(torch.zeros(3, 1).expand(3, 2)))
    else:
        cut = 2 if kind == "overlapping" else 3
        module.register_parameter("w", nn.Parameter(base[:3]))
        module.register_parameter("v", nn.Parameter(base[cut:]))
    return module


@pytest.mark.parametrize(("kind", "names"), [("expanded", "'w'"), ("overlapping", "'w' and 'v'")])
def test_parameters_whose_elements_share_memory_are_refused(kind, names):
    with pytest.raises(GrammarError, match=f"player 'x' has the parameter {names} .*share memory.*clone"):
        Player("x", Factory.of(sharing, kind), AgentSpecification(), seed=0)


def test_views_of_one_memory_that_do_not_overlap_are_parameters_like_others():
    assert len(Player("x", Factory.of(sharing, "apart"), AgentSpecification(), seed=0).parameters) == 2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_response_for_two_parameters_moves_each_as_a_copy_would(name):
    arguments = arguments_of(name, "default", True) or {}
    start, told = [torch.randn(4, 3), torch.randn(4, 3)], torch.randn(4, 3)
    agents = [TorchAgent(copies(start), optimizer=name, arguments=arguments) for _ in range(2)]
    for _ in range(3):
        agents[0].hear([told, told])
        agents[1].hear([told.clone(), told.clone()])
        assert all(map(torch.equal, agents[0].move(), agents[1].move()))


def test_a_first_order_optimization_by_a_fused_kernel_is_that_of_the_plain_one():
    x, y = torch.randn(16, 5), torch.randn(16, 3)

    def objective(weight: Tensor) -> Tensor:
        return (torch.einsum("bi,oi->bo", x, weight) - y).square().mean()

    found = [
        arglocmin(objective, torch.zeros(3, 5), by=lambda own, fused=fused: Adam(own, lr=0.1, fused=fused), queries=20)
        for fused in (True, False)
    ]
    assert torch.allclose(found[0].parameters, found[1].parameters, rtol=1e-4, atol=1e-5)
