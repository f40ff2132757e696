"""Products written by hand are those of automatic differentiation; whatever is not surely a chain is left to torch."""

import pytest
import torch
from torch import Tensor, nn

from antiphon.errors import ProtocolError
from antiphon.grammars.joined import Joined
from antiphon.oracles.affine import LARGE, affine
from antiphon.oracles.chain import ChainTape, chain_of
from antiphon.oracles.operator import Operator
from antiphon.oracles.tape import AutogradTape


class Named(nn.Sequential):
    """A class of a sequence, with no forward of its own."""

    def __init__(self, *links: nn.Module) -> None:
        super().__init__(*links)


class Doubled(nn.Sequential):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class OtherLinear(nn.Linear):
    pass


CHAINS = {
    "linear": lambda: nn.Linear(4, 3),
    "no bias": lambda: nn.Linear(4, 3, bias=False),
    "rectified": lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU()),
    "first elementwise": lambda: nn.Sequential(nn.Tanh(), nn.Linear(4, 3)),
    "elementwise twice": lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Tanh(), nn.ReLU()),
    "normed": lambda: nn.Sequential(nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 3), nn.LayerNorm(3, 1e-3), nn.Tanh()),
    "norm alone": lambda: nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)),
    "deep": lambda: Named(
        nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5, bias=False), nn.Tanh(), nn.Linear(5, 3), nn.Tanh()
    ),
}


def hooked() -> nn.Module:
    module = nn.Linear(4, 3)
    module.register_forward_hook(lambda *_: None)
    return module


def frozen() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    module[0].weight.requires_grad_(False)
    return module


def repeated() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer)


OTHERS = {
    "a forward of its own": lambda: Doubled(nn.Linear(4, 3)),
    "another linear": lambda: OtherLinear(4, 3),
    "in place": lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True)),
    "dropout": lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout()),
    "hooked": hooked,
    "frozen": frozen,
    "repeated": repeated,
    "parametrized": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)),
    "empty": nn.Sequential,
    "a norm without weights": lambda: nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3, elementwise_affine=False)),
    "a norm without bias": lambda: nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3, bias=False)),
    "a norm of two dimensions": lambda: nn.Sequential(nn.LayerNorm([6, 4]), nn.Linear(4, 3)),
}


def tapes(module: nn.Module, inputs: int = 1, dimensions: int = 2, products: int = 1):
    """The chain that a module is, if it is one, and torch's record of it."""
    parameters = tuple(module.parameters())
    recorded = AutogradTape(module, [0], parameters, products)
    return chain_of(module, inputs, dimensions, products > 0, parameters, recorded), recorded


@pytest.fixture
def seeded() -> torch.Generator:
    torch.manual_seed(3)
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize("kind", CHAINS)
def test_the_products_of_a_chain_are_those_of_autograd(kind: str, seeded) -> None:
    module = CHAINS[kind]().double()
    chain, recorded = tapes(module)
    assert isinstance(chain, ChainTape)
    x = torch.randn(6, 4, dtype=torch.float64, generator=seeded)
    x[0] = 0  # where a rectifier has no derivative, torch takes zero
    told = torch.randn(6, 3, dtype=torch.float64, generator=seeded)
    kept = x.clone()
    assert torch.equal(chain.query([x])[0], recorded.query([x])[0]) and torch.equal(x, kept)
    for found, expected in zip(chain.respond([told], [0], True), recorded.respond([told], [0], True), strict=True):
        assert len(found) == len(expected)
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", CHAINS)
def test_upstream_first_and_the_own_part_later_are_bitwise_the_whole(kind: str, seeded) -> None:
    module = CHAINS[kind]()
    (whole, _), (split, _) = tapes(module), tapes(module, products=2)
    assert whole is not None and split is not None
    x, told = torch.randn(6, 4, generator=seeded), torch.randn(6, 3, generator=seeded)
    for tape in (whole, split):
        tape.query([x])
    upstream, own = whole.respond([told], [0], True)
    assert torch.equal(split.respond([told], [0], False)[0][0], upstream[0])
    assert all(map(torch.equal, split.respond([told], [], True)[1], own))


def test_two_messages_at_one_query_are_kept_apart(seeded) -> None:
    module = CHAINS["deep"]()
    tape, _ = tapes(module, products=2)
    assert tape is not None
    x, told = torch.randn(6, 4, generator=seeded), torch.randn(6, 3, generator=seeded)
    tape.query([x])
    first, second = tape.respond([told], [0], True), tape.respond([-told], [0], True)
    assert torch.equal(first[0][0], -second[0][0])


def test_a_joined_chain_tells_each_input_what_autograd_tells_it(seeded) -> None:
    chain, recorded = tapes(Joined(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 2)).double(), inputs=2)
    assert isinstance(chain, ChainTape)
    both = [torch.randn(6, width, dtype=torch.float64, generator=seeded) for width in (4, 1)]
    recorded = AutogradTape(recorded._function, [0, 1], recorded._parameters, 1)
    told = torch.randn(6, 2, dtype=torch.float64, generator=seeded)
    assert torch.equal(chain.query(both)[0], recorded.query(both)[0])
    found, expected = (tape.respond([told], [1, 0], True) for tape in (chain, recorded))
    for one, two in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-14)


def test_a_chain_that_never_responds_plays_its_module_and_keeps_nothing(seeded) -> None:
    module = CHAINS["deep"]().requires_grad_(False)
    chain = chain_of(module, 1, 2, False, (), AutogradTape(module, (), (), 0))
    assert chain is not None
    x = torch.randn(6, 4, generator=seeded)
    assert torch.equal(chain.query([x])[0], module(x)) and not chain._values


@pytest.mark.parametrize("enabled", [True, False], ids=["oneDNN", "MKL"])
def test_a_large_product_is_torchs_up_to_rounding_whichever_library_computes_it(enabled, seeded, monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", enabled)
    told, x = torch.randn(64, 300, generator=seeded), torch.randn(64, 400, generator=seeded)
    weight, bias = torch.randn(300, 400, generator=seeded), torch.randn(300, generator=seeded)
    assert len(x) * weight.numel() >= LARGE
    found = affine(x, weight, bias), affine(told, weight.t()), affine(told.t(), x.t())
    for one, two in zip(found, (x @ weight.t() + bias, told @ weight, told.t() @ x), strict=True):
        assert one.is_contiguous()
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_not_surely_a_chain_is_left_to_torch(kind: str) -> None:
    assert tapes(OTHERS[kind]())[0] is None


def test_neither_are_several_inputs_more_dimensions_or_a_function() -> None:
    linear = nn.Linear(4, 3)
    assert tapes(linear, inputs=2)[0] is None
    assert tapes(linear, dimensions=3)[0] is None
    parameters = tuple(linear.parameters())
    assert chain_of(torch.relu, 1, 2, True, (), AutogradTape(torch.relu, [0], (), 1)) is None
    assert chain_of(linear, 1, 2, True, parameters[:1], AutogradTape(linear, [0], parameters[:1], 1)) is None


def test_one_response_more_than_announced_is_refused(seeded) -> None:
    module = nn.Linear(4, 3)
    operator = Operator("player 'A'", module, [((6, 3), torch.float32)], 1, [0], list(module.parameters()))
    operator.query([torch.randn(6, 4, generator=seeded)], 0)
    told = torch.ones(6, 3)
    operator.respond([told], [0])
    with pytest.raises(ProtocolError) as caught:
        operator.respond([told], [0])
    assert str(caught.value) == (
        "player 'A' was asked to respond without a query in this round; expected the query phase first. "
        "Order the schedule so that this node is queried before."
    )
