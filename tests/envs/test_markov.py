"""Natures that play a Markov decision process: their frequencies and weights are those of its numbers."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from antiphon.envs.markov import chooser, markov
from antiphon.envs.markov_examples import baird_policies, baird_star, boyan_chain, random_walk
from antiphon.envs.markov_process import MarkovProcess
from antiphon.errors import OracleError
from antiphon.testing import check_oracle

F64 = torch.float64
BEHAVIOUR, POLICY = baird_policies()


def small(actions: int = 2) -> MarkovProcess:
    """Four states, the last one an end; everything else drawn at random."""
    generator = torch.Generator().manual_seed(0)
    transitions = torch.rand(4, actions, 4, generator=generator, dtype=F64)
    transitions[0, 0] = torch.tensor([0, 1, 1, 0])  # not everything can happen
    transitions /= transitions.sum(-1, keepdim=True)
    rewards = torch.randn(4, actions, 4, generator=generator, dtype=F64)
    terminal = torch.tensor([False, False, False, True])
    return MarkovProcess(
        transitions, rewards, terminal, torch.tensor([0.5, 0.5, 0, 0]).double(), torch.eye(4, dtype=F64)
    )


@pytest.mark.parametrize(
    "nature",
    [
        markov(small()),
        markov(small(), play="draw", batch=5),
        markov(small(), play="walk", batch=3),
        markov(baird_star(), behaviour=BEHAVIOUR, policy=POLICY),
        markov(boyan_chain()),
        markov(random_walk(7)),
        chooser(small(), [0, 1, 1, 0], size=3),
    ],
)
def test_they_conform(nature):
    check_oracle(nature)


def test_all_transitions_together_are_the_process():
    process = small()
    state, action, reward, after, terminated, weight = markov(process).make(0).answer("sample", (), 0)
    chance = weight / len(weight)
    joint = torch.einsum("n,ns,na,nt->sat", chance, state, action, after)
    expected = (process.uniform_distribution[:, None] * process.uniform_policy)[:, :, None] * process.transitions
    assert_close(joint, expected)
    assert_close(reward, torch.einsum("ns,na,nt,sat->n", state, action, after, process.rewards))
    assert_close(terminated, after[:, 3])
    assert len(weight) == 22  # three states, two actions, four ends, of which two cannot happen


def test_weights_turn_the_behaviour_into_the_policy():
    nature = markov(baird_star(F64), behaviour=BEHAVIOUR, policy=POLICY)
    _, action, _, after, _, weight = nature.make(0).answer("sample", (), 0)
    assert_close(weight.mean(), torch.ones((), dtype=F64))
    assert_close(weight[action[:, 0] == 1], torch.zeros(42, dtype=F64))
    solid = action[:, 1] == 1
    assert_close(weight[solid] / len(weight), torch.full((7,), 1 / 7, dtype=F64))
    assert_close(after[solid], baird_star(F64).features[6].expand(7, 8))
    drawn = markov(baird_star(F64), play="draw", batch=4, behaviour=BEHAVIOUR, policy=POLICY).make(0)
    _, action, *_, weight = drawn.answer("sample", (), 0)
    assert_close(weight, 7 * action[:, 1])


def test_pairs_are_independent_given_the_state():
    process = small()
    state, _, after, _, _, other, _, weight = markov(process).make(0).answer("pair", (), 0)
    joint = torch.einsum("n,ns,nt,nu->stu", weight / len(weight), state, after, other)
    chain = torch.einsum("sa,sat->st", process.uniform_policy, process.transitions)
    assert_close(joint, torch.einsum("s,st,su->stu", process.uniform_distribution, chain, chain))


@pytest.mark.parametrize("question", ["sample", "pair"])
def test_draws_have_the_frequencies_of_the_whole(question):
    process = small()
    whole, drawn = markov(process).make(0), markov(process, play="draw", batch=40_000).make(1)
    means = []
    for oracle in (whole, drawn):
        *values, weight = oracle.answer(question, (), 0)
        means.append(torch.cat([(weight[:, None] * each.reshape(len(weight), -1)).mean(0) for each in values]))
    assert_close(means[1], means[0], rtol=0, atol=0.03)
    assert_close(
        drawn.answer(question, (), 7)[0], markov(process, play="draw", batch=40_000).make(1).answer(question, (), 7)[0]
    )


def test_walkers_walk_and_begin_again_at_a_start():
    process = small()
    walk = markov(process, play="walk", batch=6).make(0)
    (before,) = walk.answer("observe", (), 0)
    ended = 0
    for round in range(50):
        state, _, _, after, terminated, weight = walk.answer("sample", (), round)
        assert_close(state, before)
        assert_close(weight, torch.ones(6, dtype=F64))
        (before,) = walk.answer("observe", (), round)
        over = terminated.bool()
        assert_close(before[~over], after[~over])
        assert before[over][:, 2:].sum() == 0
        ended += int(over.sum())
    assert walk.report() == {"steps": 50, "episodes": ended}
    assert ended > 10


def test_a_step_is_taken_by_the_askers_action():
    process = baird_star(F64)
    walk = markov(process, play="walk", batch=5).make(0)
    solid = torch.tensor([[0.0, 1.0]] * 5, dtype=F64)
    _, after, _ = walk.answer("step", (solid,), 0)
    assert_close(after, process.features[6].expand(5, 8))
    _, after, _ = walk.answer("step", (1 - solid,), 1)
    assert after[:, 6].sum() == 0


def test_a_chooser_knows_the_state_by_its_features():
    process = small()
    oracle = chooser(process, [0, 1, 1, 0], size=3).make(0)
    (chosen,) = oracle.answer("choose", (process.features[[1, 0, 2]],), 0)
    assert chosen.tolist() == [[0, 1], [1, 0], [0, 1]]


def text_of(make) -> str:
    with pytest.raises(OracleError) as refused:
        make()
    return str(refused.value)


def test_refusals():
    process = small()
    assert text_of(lambda: replace(process, start=torch.ones(3))) == (
        "Markov process: expected start of shape (4,), since transitions tell of 4 states and 2 actions; (3,) arrived. "
        "Give every state and action its entries."
    )
    assert text_of(lambda: replace(process, start=torch.ones(4))) == (
        "Markov process: expected start to be probabilities that add up to 1; the smallest is 1, and the sums go from "
        "4 to 4. Normalise them."
    )
    assert text_of(lambda: markov(process, batch=3)) == (
        "markov: play is 'all' and batch is 3; expected a batch of at least 1 to draw or walk, and none for 'all', "
        "whose size follows from the process. Correct one of them."
    )
    assert text_of(lambda: markov(process, play="walk")).startswith("markov: play is 'walk' and batch is None; ")
    assert text_of(lambda: markov(process, policy=torch.ones(2, 4))) == (
        "markov: policy has shape (2, 4); expected (4, 2), a probability for each action in each state. Correct it."
    )
    assert text_of(lambda: markov(process, distribution=torch.full((4,), 0.25))) == (
        "markov: distribution gives terminal states a probability; expected none, since nothing is played from them. "
        "Leave them out."
    )
    assert text_of(lambda: markov(baird_star(), behaviour=1 - POLICY, policy=POLICY)) == (
        "markov: policy takes actions that behaviour never takes; expected behaviour to try them all, or their "
        "outcomes are never seen. Give them some probability."
    )
    assert text_of(lambda: chooser(process, [0, 2, 0, 0], size=1)) == (
        "chooser: expected 4 actions, one per state, from 0 to 1; [0, 2, 0, 0] arrived. Name the action of every state."
    )


def test_what_is_not_finite_in_the_dtype_that_is_played_or_never_goes_on_is_refused():
    process = random_walk(3)
    for change, told in (
        ({"rewards": process.rewards * 1e39}, "rewards are NaN or infinite, or so as torch.float32"),
        ({"features": process.features / 0}, "features are NaN or infinite"),
        ({"terminal": torch.ones(5, dtype=torch.bool)}, "every state is terminal"),
    ):
        with pytest.raises(OracleError, match=told):
            replace(process, **change)


def test_a_walk_that_does_not_fit_into_memory_is_refused():
    with pytest.raises(OracleError, match=r"random_walk: 10000000 states needs 1490116\.\d GiB"):
        random_walk(10**7)
