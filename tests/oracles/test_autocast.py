"""Less precision: what torch.autocast computes, scaled in float16 so that small gradients survive."""

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor, nn

from antiphon.errors import ShapeError
from antiphon.oracles.autocast import Autocast, exponent_of, times_power
from antiphon.oracles.operator import Operator

LOW = [torch.bfloat16, torch.float16]


class Two(nn.Module):
    """Plays two tensors, and whole numbers beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 4)
        self.norm = nn.LayerNorm(5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = torch.tanh(self.norm(self.first(x)))
        return hidden, self.second(hidden), torch.arange(3)


def made(dtype: torch.dtype | None, module: nn.Module, outputs: list[tuple[tuple[int, ...], torch.dtype]]) -> Operator:
    function = module if dtype is None else Autocast(module, "cpu", dtype, [each for _, each in outputs])
    return Operator("player 'P'", function, outputs, 1, [0], tuple(module.parameters()))


def example(seed: int = 0) -> tuple[Two, Tensor, list[Tensor]]:
    torch.manual_seed(seed)
    return Two(), torch.randn(7, 6), [torch.randn(7, 5), torch.randn(7, 4)]


OUTPUTS = [((7, 5), torch.float32), ((7, 4), torch.float32), ((3,), torch.int64)]


def by_hand(module: nn.Module, x: Tensor, told: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Values, then gradients of the input and of the parameters, by plain torch."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype):
        one, two, _ = module(x)
    wide = [one.float(), two.float()]
    return [*(each.detach() for each in wide), *torch.autograd.grad(wide, [x, *module.parameters()], told)]


@pytest.mark.parametrize("dtype", LOW)
def test_values_and_products_are_those_of_torch_autocast(dtype: torch.dtype) -> None:
    module, x, told = example()
    scaled = [times_power(each, -exponent_of(told)) for each in told] if dtype is torch.float16 else told
    one, two, *expected = by_hand(module, x, scaled, dtype)
    if dtype is torch.float16:
        expected = [times_power(each, exponent_of(told)) for each in expected]
    box = made(dtype, module, OUTPUTS)
    values = box.query([x], 0)
    upstream, own = box.respond([*told, None], [0])
    assert [value.dtype for value in (*values, *upstream, *own)] == [torch.float32] * 2 + [torch.int64] + [
        torch.float32
    ] * (1 + len(own))
    for found, known in zip((values[0], values[1], *upstream, *own), (one, two, *expected), strict=True):
        assert torch.equal(found, known)
    plain = made(None, module, OUTPUTS)
    assert not torch.equal(values[1], plain.query([x], 0)[1])  # it did compute in less
    assert torch.allclose(values[1], plain.query([x], 0)[1], atol=0.05)


def test_declared_precision_is_the_module_itself() -> None:
    module, x, told = example()
    box = made(None, module, OUTPUTS)
    values = box.query([x], 0)
    leaf = x.clone().requires_grad_()
    played = module(leaf)[:2]
    assert torch.equal(values[1], played[1])
    assert torch.equal(box.respond([*told, None], [0])[0][0], torch.autograd.grad(played, leaf, told)[0])


@pytest.mark.parametrize("power", [-60, -30, 0, 30, 60])
def test_gradients_of_any_size_survive_in_float16(power: int) -> None:
    module, x, told = example()
    sized = [each * 2.0**power for each in told]
    box = made(torch.float16, module, OUTPUTS)
    box.query([x], 0)
    (upstream,), own = box.respond([*sized, None], [0])
    box.query([x], 0)
    (at_one,), own_at_one = box.respond([*told, None], [0])
    # Scaling by powers of two is exact: the size of the messages changes nothing but the size of the products.
    for found, known in zip((upstream, *own), (at_one, *own_at_one), strict=True):
        assert torch.equal(found, known * 2.0**power) and known.abs().max() > 0


def test_without_scaling_they_would_not() -> None:
    module, x, told = example()
    *_, bias = by_hand(module, x, [each * 2.0**-60 for each in told], torch.float16)
    assert not bias.any()


@pytest.mark.parametrize(("told", "expected"), [(0.0, 0.0), (float("inf"), float("inf")), (float("nan"), float("nan"))])
def test_messages_without_a_size_pass_as_they_are(told: float, expected: float) -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    box = made(torch.float16, module, [((1, 2), torch.float32)])
    box.query([torch.ones(1, 3)], 0)
    _, (_, bias) = box.respond([torch.full((1, 2), told)], [0])
    assert torch.equal(bias, torch.full((2,), expected)) or (expected != expected and bias.isnan().all())


@given(st.floats(-(2.0**99), 2.0**99, width=32), st.integers(-20, 20))
def test_powers_of_two_are_taken_back_exactly(value: float, exponent: int) -> None:
    there = times_power(torch.tensor([value]), torch.tensor(exponent))
    back = times_power(there, torch.tensor(-exponent))
    if value == 0 or abs(value) > 2.0**-99:
        assert back.item() == torch.tensor(value).item()


@given(st.floats(2.0**-99, 2.0**99, width=32))
def test_the_largest_number_comes_to_between_a_half_and_one(value: float) -> None:
    told = [torch.tensor([value, 0.0]), torch.tensor([-value / 2])]
    scaled = times_power(told[0], -exponent_of(told))[0].item()
    assert 0.5 <= scaled < 1


def test_edges_of_float16_are_scaled_without_overflow() -> None:
    tiny = torch.tensor([2.0**-24, 0.0], dtype=torch.float16)
    scaled = times_power(tiny, -exponent_of([tiny]))
    assert scaled.dtype is torch.float16 and scaled.tolist() == [0.5, 0.0]


def test_float64_is_left_alone() -> None:
    torch.manual_seed(0)
    module, x = nn.Linear(3, 2).double(), torch.randn(4, 3, dtype=torch.float64)
    box = made(torch.bfloat16, module, [((4, 2), torch.float64)])
    assert torch.equal(box.query([x], 0)[0], module(x))


def test_another_dtype_than_declared_is_still_refused() -> None:
    class Wide(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input).double()

    box = made(torch.bfloat16, Wide(3, 2), [((1, 2), torch.float32)])
    with pytest.raises(ShapeError, match=r"player 'P' played .*float64.*; expected .*float32"):
        box.query([torch.ones(1, 3)], 0)


def test_several_responses_to_one_query_and_none_after_the_last() -> None:
    module, x, told = example()
    box = Operator(
        "player 'P'",
        Autocast(module, "cpu", torch.float16, [each for _, each in OUTPUTS]),
        OUTPUTS,
        1,
        [0],
        tuple(module.parameters()),
        products=2,
    )
    box.query([x], 0)
    first, second = (box.respond([told[0], None, None], [0])[0][0] for _ in range(2))
    assert torch.equal(first, second)
