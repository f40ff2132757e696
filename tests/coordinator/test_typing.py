"""What plays is typed, whatever it asks of its inputs; and it is typed as it plays."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, OneHotCategorical

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.envs import arrays, nature
from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.library.dac import dac
from antiphon.grammars.library.networks import Policy, StateAction
from antiphon.grammars.objective import minimise
from antiphon.grammars.oracle import Memoryless, OracleDeclaration, Question
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles import gaussian, gray_box

BATCH = 8
CLASSES = torch.arange(32) % 3


class Positive(nn.Sequential):
    """A scale."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 3), nn.Softplus())


class Triangular(nn.Linear):
    """Lower triangular matrices with a positive diagonal."""

    def forward(self, input: Tensor) -> Tensor:
        square = super().forward(input).unflatten(1, (3, 3))
        return square.tril(-1) + torch.diag_embed(square.diagonal(dim1=1, dim2=2).exp())


class Groups(nn.Linear):
    """Four groups of a batch, however large."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.reshape(4, -1, 6)).reshape(-1, 3)


class GroupsApart(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.reshape(4, -1, 6))


class OfEight(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        assert input.shape[0] == BATCH
        return super().forward(input)


class Slope(nn.Linear):
    """The gradient of a function of its input."""

    def forward(self, input: Tensor) -> Tensor:
        point = input if input.requires_grad else input.detach().requires_grad_()
        (slope,) = torch.autograd.grad(super().forward(point).square().sum(), point, create_graph=True)
        return slope[:, :3]


class Logarithm(nn.Module):
    """Of positive numbers only."""

    def forward(self, scale: Tensor) -> Tensor:
        assert (scale > 0).all()
        return scale.log()


class Branches(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input if input.sum().item() > 0 else -input)


class Standard(nn.Sequential):
    """Refuses a batch of one, in training."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 3), nn.BatchNorm1d(3))


class Indexed(nn.Module):
    """As many entries as there are classes."""

    def __init__(self, entries: int) -> None:
        super().__init__()
        self.table = nn.Embedding(entries, 3)

    def forward(self, index: Tensor) -> Tensor:
        return self.table(index)


def normal(mean: Tensor, scale: Tensor) -> Tensor:
    return Normal(mean, scale).rsample()


def of_normal(mean: Tensor, triangular: Tensor) -> Tensor:
    return MultivariateNormal(mean, scale_tril=triangular).rsample()


def likelihood(logits: Tensor, hot: Tensor) -> Tensor:
    return OneHotCategorical(logits=logits).log_prob(hot)


def by_numpy(value: Tensor, x: Tensor) -> Tensor:
    return value + torch.from_numpy(x.numpy()[:, :3])


def mean_square(value: Tensor) -> Tensor:
    return value.square().mean()


Build = Callable[[QueryDraft, Any, Any, Any], Any]  # the draft; x, a class, the class again as one hot row -> a value


def player(module: Callable[..., nn.Module], *arguments: Any) -> Build:
    return lambda q, x, index, hot: q.player("P", module, *arguments)(x)


def by_players(operation: Callable[..., Any], *modules: tuple[Any, ...]) -> Build:
    """An operator of what several players play."""

    def build(q: QueryDraft, x: Any, index: Any, hot: Any) -> Any:
        return q.operator("O", operation)(*(q.player(f"P{n}", *made)(x) for n, made in enumerate(modules)))

    return build


BUILDS: dict[str, Build] = {
    "a distribution of two players": by_players(normal, (nn.Linear, 6, 3), (Positive,)),
    "a distribution with a triangular matrix": by_players(of_normal, (nn.Linear, 6, 3), (Triangular, 6, 9)),
    "a likelihood of one hot row": lambda q, x, _, hot: q.operator("O", likelihood)(
        q.player("P", nn.Linear, 6, 3)(x), hot
    ),
    "groups": player(Groups, 6, 3),
    "groups apart": player(GroupsApart, 6, 3),
    "eight rows": player(OfEight, 6, 3),
    "a gradient inside": player(Slope, 6, 3),
    "a gradient inside, behind a player": lambda q, x, *_: q.player("P", Slope, 6, 3)(
        q.player("L", nn.Linear, 6, 6)(x)
    ),
    "a logarithm of what is positive": by_players(Logarithm, (Positive,)),
    "a branch": player(Branches, 6, 3),
    "batch norm": player(Standard),
    "an index": lambda q, x, index, _: q.player("P", Indexed, 3)(index),
    "numpy": lambda q, x, *_: q.operator("O", by_numpy)(q.player("P", nn.Linear, 6, 3)(x), x),
}


def game(build: Build, batch: int = BATCH) -> Grammar:
    q = QueryDraft()
    x, index, hot = q.oracle("Nature", arrays(torch.randn(32, 6), CLASSES, torch.eye(3)[CLASSES], batch=batch))()
    objective = minimise(q.loss("Loss", mean_square)(build(q, x, index, hot)))
    return Grammar("typed", q.graph(), chain_rule(q, objective), objective, exact())


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_what_plays_is_typed_as_it_plays(build):
    with InlineExecutor(assign(game(build))) as inline:
        inline.play(2)  # each query is held to its type


def test_what_takes_one_size_alone_is_of_a_constant_size_and_goes_on_where_that_size_is_expected():
    q = QueryDraft()
    (x,) = [q.oracle("Nature", arrays(torch.randn(32, 6), batch=BATCH))()]
    kind = EdgeType((Batch(), 3))
    eight = q.player("P", OfEight, 6, 3)(x)
    assert eight.type.shape == (BATCH, 3)
    told = q.oracle("Box", gray_box(torch.neg, (kind,), (kind,), sizes={"batch": BATCH}))(eight)
    objective = minimise(q.loss("Loss", mean_square)(q.operator("add", torch.add)(eight, told)))
    with InlineExecutor(assign(Grammar("eight", q.graph(), chain_rule(q, objective), objective, exact()))) as inline:
        inline.play(1)


def test_a_refusal_is_in_the_sizes_that_were_declared(refusal):
    text = refusal(ShapeError, lambda: game(player(OfEight, 6, 3), batch=4))
    assert "on float32[batch, 6] where batch = 4: assert 4 == 8. " in text


class Counted(Memoryless):
    """Counts how often it is made."""

    made = 0

    def __init__(self, *, seed: int) -> None:
        Counted.made += 1

    def answer(self, question, inputs, round):
        return (torch.ones(BATCH, 6),)


def test_an_oracle_is_made_only_for_what_refuses_every_drawn_value(refusal):
    kind = EdgeType((Batch(), 6))
    declaration = OracleDeclaration(Factory.of(Counted), (Question("sample", (), (kind,)),), (("batch", BATCH),))
    q = QueryDraft()
    x = q.oracle("Nature", declaration)()
    q.player("Plain", nn.Linear, 6, 3)(x)
    q.operator("logarithm", Logarithm)(x)
    assert Counted.made == 0
    assert q.operator("ones", ones)(x).type == kind
    assert Counted.made == 1


def ones(value: Tensor) -> Tensor:
    assert (value == 1).all()
    return value


def test_one_symbol_of_two_sizes_is_refused_where_the_second_is_declared(refusal):
    q = QueryDraft()
    q.oracle("Nature", arrays(torch.randn(32, 6), batch=BATCH))
    text = refusal(GrammarError, lambda: q.oracle("Noise", gaussian((6,), batch=3)))
    assert text.startswith("oracle 'Noise' plays 'batch' of size 3, but oracle 'Nature' plays it of size 8; ")


def test_noise_with_a_symbol_of_its_own_goes_with_a_batch_of_its_size_and_no_other(refusal):
    def add(noise: int) -> Any:
        q = QueryDraft()
        x = q.oracle("Nature", arrays(torch.randn(32, 6), batch=BATCH))()
        return q.operator("perturb", torch.add)(x, q.oracle("Noise", gaussian((6,), batch=noise, symbol="own"))())

    assert add(BATCH).type.shape == (BATCH, 6)
    assert "float32[batch, 6], float32[own, 6] where batch = 8, own = 4: " in refusal(ShapeError, lambda: add(4))


def with_noise(noise: OracleDeclaration) -> Grammar:
    world = nature("Pendulum-v1", envs=3, batch=4, warmup=6)
    actor, critic = Factory.of(Policy, 3, 1, (4,)), Factory.of(StateAction, 3, 1, 1, (4,))
    return dac(world, noise, actor, critic, critic, act_every=1, learn_from=4)


def test_dac_takes_noise_with_a_symbol_of_its_own_and_refuses_others_in_declared_sizes(refusal):
    with InlineExecutor(assign(with_noise(gaussian((1,), batch=3, symbol="gusts")))) as inline:
        inline.play(6)
    text = refusal(ShapeError, lambda: with_noise(gaussian((1,), batch=5, symbol="gusts")))
    assert "float32[envs, 1], float32[gusts, 1] where envs = 3, gusts = 5: " in text
    text = refusal(GrammarError, lambda: with_noise(gaussian((1,), batch=3)))
    assert text.startswith("oracle 'Noise' plays 'batch' of size 3, but oracle 'Nature' plays it of size 4; ")
