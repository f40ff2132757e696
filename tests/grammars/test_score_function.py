"""Stochastic nodes: the mean of a score-function response is the gradient of the mean cost downstream."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Normal, OneHotCategorical

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.envs import arrays, contextual_bandit
from antiphon.errors import BlackBoxError, GrammarError, ShapeError
from antiphon.grammars import (
    Edit,
    Grammar,
    Objective,
    Port,
    QueryDraft,
    State,
    Value,
    chain_rule,
    maximise,
    minimise,
    score,
)
from antiphon.grammars.reference import Composed, compose
from antiphon.grammars.states import same_states

ROWS, ROUNDS = 20_000, 16
TABLE, AIM = torch.tensor([2.0, -1.0, -0.4]), 3.0


def choice(logits: Tensor) -> OneHotCategorical:
    return OneHotCategorical(logits=logits)


def looked_up(choices: Tensor) -> Tensor:
    return choices @ TABLE


def squared(value: Tensor) -> Tensor:
    return (value - AIM).square().sum(1)


def of_choice(logits: Tensor) -> Tensor:
    """The gradient of the mean of TABLE under a choice, in the logits."""
    p = logits.softmax(0)
    return p * (TABLE.double() - p @ TABLE.double())


def of_normal(mean: Tensor) -> Tensor:
    """The gradient of (mean - AIM)^2 + sigma^2 in the mean."""
    return 2 * (mean - AIM)


KINDS = {"choice": (choice, (), looked_up, 3, of_choice), "normal": (Normal, (0.5,), squared, 2, of_normal)}


def game(kind: str, baseline: float | None) -> Grammar:
    """One player plays the parameters of a density, the same for all examples; the cost of a sample is known."""
    density, constants, cost, size, _ = KINDS[kind]
    q = QueryDraft()
    one, guess = q.oracle("Nature", arrays(torch.ones(ROWS, 1), torch.full((ROWS, 1), baseline or 0.0), batch=ROWS))()
    sample = q.sample("Sample", density, *constants)(q.player("Player", nn.Linear, 1, size, bias=False)(one))
    loss = minimise(q.loss("Loss", torch.mean)(q.operator("costs", cost)(sample)))
    r = chain_rule(q, loss, edit=score(sample, guess if baseline is not None else None))
    return Grammar(kind, q.graph(), r, loss)


def responses(grammar: Grammar, rounds: int) -> tuple[Tensor, Tensor]:
    """What Player receives in each of several rounds, (rounds, numbers), and its parameters."""
    with InlineExecutor(assign(grammar, RECORDER, seed=3)) as executor:
        (weight,) = executor.states()["Player"]["parameters"].values()
        found = []
        for _ in range(rounds):
            executor.play(1)
            found.append(torch.cat([each.flatten() for each in delivered(executor)["Player"]]))
    return torch.stack(found).double(), weight.flatten().double()


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_response_is_the_gradient_and_a_baseline_lowers_its_variance(kind):
    errors = []
    for baseline in (None, 0.2 if kind == "choice" else 10.0):
        found, parameters = responses(game(kind, baseline), ROUNDS)
        truth, error = KINDS[kind][-1](parameters), found.std(0) / ROUNDS**0.5
        assert ((found.mean(0) - truth).abs() <= 4 * error).all()
        assert (error <= 0.02 * truth.abs()).all()
        errors.append(error)
    assert errors[1].square().sum() < errors[0].square().sum()


class Chain:
    """x -> A -> sample a -> B -> sample b, and x -> C; the costs are those of C, of a and of b."""

    def __init__(self) -> None:
        self.q = QueryDraft()
        x = self.q.oracle("Nature", arrays(torch.randn(8, 2), batch=8))()
        self.a = self.q.sample("a", Normal, 1.0)(self.q.player("A", nn.Linear, 2, 2)(x))
        self.b = self.q.sample("b", Normal, 1.0)(self.q.player("B", nn.Linear, 2, 2)(self.a))
        self.costs = [
            self.q.operator(f"cost{i}", squared)(each)
            for i, each in enumerate((self.q.player("C", nn.Linear, 2, 2)(x), self.a, self.b))
        ]
        self.losses = [self.q.loss(f"Loss{i}", torch.mean)(each) for i, each in enumerate(self.costs)]

    def told(self, *edits: Edit, objective: Objective | None = None) -> tuple[dict[str, Tensor], Composed]:
        """What A and B receive in the first round, and the values of that round for torch."""
        paid = objective or minimise(*self.losses)
        grammar = Grammar("chain", self.q.graph(), chain_rule(self.q, paid, edit=edits), paid)
        with InlineExecutor(assign(grammar, RECORDER, seed=0)) as executor:
            states = executor.states()
            executor.play(1)
            found = delivered(executor)
        return {name: flat(each) for name, each in found.items()}, compose(grammar, states)


def flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([each.detach().flatten() for each in tensors])


def scored(composed: Composed, player: str, sample: str, *costs: int) -> Tensor:
    """The gradient of Schulman's surrogate loss by torch: log-density times the costs, which are held fixed."""
    paid = sum(composed.values[Port(f"cost{each}")].detach() for each in costs)
    loss = (paid * composed.values[Port(sample, 1)]).mean()
    return flat(torch.autograd.grad(loss, composed.parameters(player), retain_graph=True))


def test_the_costs_of_a_sample_are_those_downstream():
    game = Chain()
    told, composed = game.told(score(game.a), score(game.b))
    assert torch.allclose(told["A"], scored(composed, "A", "a", 1, 2))  # not cost 0, which does not depend on a
    assert torch.allclose(told["B"], scored(composed, "B", "b", 2))


def test_both_responses_mix_and_without_an_edit_the_response_is_the_path():
    game = Chain()
    told, composed = game.told()
    assert all(torch.allclose(told[name], flat(composed.gradient(name))) for name in "AB")
    told, composed = game.told(score(game.b))  # a's own cost along its path; b's mean depends on a
    path = torch.autograd.grad(composed.values[Port("Loss1")], composed.parameters("A"), retain_graph=True)
    (below,) = torch.autograd.grad(
        (composed.values[Port("cost2")].detach() * composed.values[Port("b", 1)]).mean(),
        composed.values[Port("a")],
        retain_graph=True,
    )
    through = torch.autograd.grad(composed.values[Port("a")], composed.parameters("A"), below, retain_graph=True)
    assert torch.allclose(told["A"], flat(path) + flat(through), rtol=1e-4)
    assert torch.allclose(told["B"], scored(composed, "B", "b", 2))


def test_terms_have_their_own_signs_players_and_held_values():
    game = Chain()
    apart = maximise(game.losses[1], players=["A"]) + minimise(game.losses[2], held=[game.a], players=["A", "B"])
    apart += minimise(game.losses[0])
    told, composed = game.told(score(game.a), score(game.b), objective=apart)
    assert torch.allclose(told["A"], -scored(composed, "A", "a", 1))
    assert torch.allclose(told["B"], scored(composed, "B", "b", 2))


def test_what_an_oracle_was_asked_before_counts():
    """The second reward of the bandit may depend on its first action."""
    q = QueryDraft()
    world = q.oracle("Nature", contextual_bandit(lambda s, a: a.sum(1), 2, 2, batch=8))
    state = world.observe()
    first = q.sample("first", Normal, 1.0)(q.player("A", nn.Linear, 2, 2)(state))
    rewards = [world.reward(first), world.reward(state)]
    loss = q.loss("Loss", torch.mean)(q.operator("cost", torch.neg)(rewards[1]))
    assert "cost cost" in repr(chain_rule(q, minimise(loss), edit=score(first)))


def test_an_edit_may_send_the_gradient_straight_through():
    q = QueryDraft()
    x = q.oracle("Nature", arrays(torch.randn(8, 2), batch=8))()
    bits = q.sample("bits", Bernoulli)(logits=q.player("A", nn.Linear, 2, 3)(x))
    loss = minimise(q.loss("Loss", torch.mean)(q.operator("cost", squared)(bits)))

    def straight(upstream):
        return upstream.cotangent if upstream.source.owner == "bits" else upstream.message

    assert "A * = A * (cost *)" in repr(chain_rule(q, loss, edit=straight))
    with pytest.raises(BlackBoxError) as refused:
        chain_rule(q, loss)
    assert all(each in str(refused.value) for each in ("'bits'", "'A'", "Bernoulli", "score"))


def test_samples_depend_on_seed_node_and_round_alone():
    game, agent = Chain(), AgentSpecification.of("SGD", {"lr": 0.01})
    paid = minimise(*game.losses)
    grammar = Grammar("chain", game.q.graph(), chain_rule(game.q, paid, edit=[score(game.a), score(game.b)]), paid)
    with InlineExecutor(assign(grammar, agent, seed=1)) as one, InlineExecutor(assign(grammar, agent, seed=1)) as two:
        whole = one.play(4).losses["Loss2"].values
        two.load(*halfway(grammar, agent))
        assert two.play(2).losses["Loss2"].values == whole[2:]
        assert same_states(one.states()["A"], two.states()["A"])
    assert len({*whole}) == 4


def halfway(grammar: Grammar, agent: AgentSpecification) -> tuple[Mapping[str, State], int]:
    with InlineExecutor(assign(grammar, agent, seed=1)) as executor:
        executor.play(2)
        return executor.states(), 2


def refusals() -> dict[str, tuple[Callable[[Any, Any, Any], object], type, list[str]]]:
    """Bad input by name: what is done with a draft, its x, (batch, 2), and its y, (batch,); the error; its words."""

    def respond(q: QueryDraft, sample: Value, *edits: Edit, mean: bool = True) -> None:
        costs = q.operator("cost", squared)(sample)
        chain_rule(q, minimise(q.loss("Loss", torch.mean if mean else torch.sum)(costs)), edit=edits)

    def drawn(q: QueryDraft, x: Value) -> tuple[Value, Value]:
        mean = q.player("A", nn.Linear, 2, 2)(x)
        return mean, q.sample("z", Normal, 1.0)(mean)

    def unscored(q, x, y):
        mean, _ = drawn(q, x)
        respond(q, mean, score(mean))

    def no_mean(q, x, y):
        respond(q, z := drawn(q, x)[1], score(z), mean=False)

    def biased(q, x, y):
        respond(q, z := drawn(q, x)[1], score(z, q.operator("guess", torch.sum, 1)(z)))

    def wide(q, x, y):
        respond(q, z := drawn(q, x)[1], score(z, x))

    def unpaid(q, x, y):
        mean, z = drawn(q, x)
        respond(q, mean, score(z))

    return {
        "no density": (unscored, GrammarError, ["the player 'A'", "q.sample"]),
        "no mean": (no_mean, GrammarError, ["'Loss'", "sum", "torch.mean"]),
        "biased baseline": (biased, GrammarError, ["guess", "z", "does not depend"]),
        "wide baseline": (wide, ShapeError, ["Nature.sample", "[batch, 2]", "[batch, 1]"]),
        "no cost": (unpaid, GrammarError, ["z", "no loss"]),
        "sizes": (
            lambda q, x, y: q.sample("z", Normal)(x, q.player("B", nn.Linear, 2, 3)(x)),
            ShapeError,
            ["'z'", "[batch, 2]", "[batch, 3]"],
        ),
        "batch twice": (
            lambda q, x, y: q.sample("z", Normal)(y, q.operator("column", torch.unsqueeze, 1)(y)),
            ShapeError,
            ["'z'", "[batch, batch]", "(batch, ...)"],
        ),
        "no choices": (
            lambda q, x, y: q.sample("z", Categorical)(logits=y),
            ShapeError,
            ["'z'", "Categorical", "choices"],
        ),
        "unknown name": (lambda q, x, y: q.sample("z", Normal)(x, width=x), ShapeError, ["'z'", "width"]),
        "no distribution": (
            lambda q, x, y: q.sample("z", torch.relu)(x),
            ShapeError,
            ["'z'", "Tensor", "Distribution"],
        ),
        "a constant": (lambda q, x, y: q.sample("z", Normal)(x, 1.0), GrammarError, ["'z'", "float"]),
    }


@pytest.mark.parametrize("name", refusals())
def test_bad_input_is_refused(name):
    act, error, words = refusals()[name]
    q = QueryDraft()
    x, y = q.oracle("Nature", arrays(torch.rand(8, 2), torch.rand(8), batch=8))()
    with pytest.raises(error) as refused:
        act(q, x, y)
    assert all(each in str(refused.value) for each in words), str(refused.value)
