"""Twin critics, smoothing and delay are those of TD3 written by hand; each knob is a visible edit of Q."""

from copy import deepcopy

import pytest
import torch
from torch.nn.functional import mse_loss

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.check import check_grammar
from antiphon.checks.suites.regulators import any_networks
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.steps import Slot
from antiphon.coordinator.recorder import RECORDER
from antiphon.errors import PlacementError
from antiphon.grammars import Cadence
from antiphon.grammars.library import critic_derivative
from antiphon.grammars.library.control import Smoothing, smoothed
from antiphon.grammars.query import Port
from antiphon.oracles import gaussian
from antiphon.transport.message import Phase

GAMMA, SOFT, RATE, CLIP = 0.8, 0.1, 0.05, 0.3


def td3(seed, **options):
    world, wind, actor, critic, _ = any_networks(seed)
    action = int(wind.questions[0].outputs[0].sized(dict(wind.sizes))[1])
    noise = gaussian((action,), batch=dict(world.sizes)["batch"], scale=0.5, dtype=torch.float64)
    smoothing = Smoothing(noise, CLIP, (-0.5,) * action, (torch.inf,) * action)
    knobs = {"twin": True, "smoothing": smoothing, "delay": 2, "clone_every": 2, **options}
    return critic_derivative(world, wind, actor, critic, gamma=GAMMA, soft=SOFT, **knobs)


class ByHand:
    """TD3 with SGD, as Fujimoto et al. 2018 write it."""

    def __init__(self, mu, critic, twin):
        self.mu, self.critics = mu, (critic, twin)
        self.old_mu, self.olds = deepcopy(mu), tuple(map(deepcopy, self.critics))

    def learn(self, round, state, action, reward, after, terminated, noise):
        with torch.no_grad():
            then = torch.max(self.old_mu(after) + noise.clamp(-CLIP, CLIP), torch.tensor(-0.5))
            one, two = (old(after, then) for old in self.olds)
            target = reward[:, None] + GAMMA * (1 - terminated[:, None]) * torch.min(one, two)
        gradients = [
            torch.autograd.grad(mse_loss(critic(state, action), target), list(critic.parameters()))
            for critic in self.critics
        ]
        if round % 2 == 0:
            loss = -self.critics[0](state, self.mu(state)).mean()
            step(self.mu, torch.autograd.grad(loss, list(self.mu.parameters())))
        for critic, gradient in zip(self.critics, gradients, strict=True):
            step(critic, gradient)
        if round % 2 == 0:
            for new, old in zip((self.mu, *self.critics), (self.old_mu, *self.olds), strict=True):
                for one, other in zip(new.parameters(), old.parameters(), strict=True):
                    other.data.lerp_(one.data, SOFT)


@torch.no_grad()
def step(module, gradients):
    for each, gradient in zip(module.parameters(), gradients, strict=True):
        each -= RATE * gradient


@pytest.mark.parametrize("seed", range(3))
def test_rounds_are_those_of_td3_by_hand(seed):
    grammar, seen = td3(seed), []

    def watch(round, held):
        ports = [*(Port("Nature.replay", index) for index in range(5)), Port("Smoothing.sample")]
        seen.append([held[Slot(Phase.QUERY, port)].clone() for port in ports])

    with InlineExecutor(assign(grammar, AgentSpecification.of("SGD", {"lr": RATE}), seed=seed), watch=watch) as play:
        plain = ByHand(*(deepcopy(play.modules()[name]) for name in ("Actor", "Critic", "Twin")))
        play.play(7)
        found = play.modules()
        for round, values in enumerate(seen):
            plain.learn(round, *values)
        by_hand = {"Actor": plain.mu, "Critic": plain.critics[0], "Twin": plain.critics[1], "Actor~": plain.old_mu}
        for name, module in by_hand.items():
            for mine, theirs in zip(found[name].parameters(), module.parameters(), strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
    assert len(seen) == 7


def test_the_promises_are_kept_with_all_knobs():
    report = check_grammar(td3(1), instances=2)
    assert not report.failed, report.text
    assert {row.players for row in report.rows if row.guarantee == "exact"} == {"Critic, Twin", "Actor"}


def test_each_knob_is_a_node_of_q():
    plain, full = (each.query for each in (td3(0, twin=False, smoothing=None, delay=1), td3(0)))
    further = {"Twin", "Twin~", "minimum", "Smoothing.sample", "smooth", "BE#2"}
    assert full.by_name.keys() - plain.by_name.keys() == further
    assert full.cadences == {**plain.cadences, "improve": Cadence(2)}


def test_a_pass_is_not_played_ahead_of_one_whose_values_it_takes():
    with pytest.raises(PlacementError, match=r"'improve'.*'Actor#2'.*'learn'"):
        assign(td3(0), RECORDER, staleness={"improve": 1})
    assign(td3(0), RECORDER, staleness={"learn": 1, "improve": 1})


def test_noise_of_the_target_is_clipped_and_the_action_stays_within_its_bounds():
    action, noise = torch.tensor([[0.9, 0.9, -0.2]]), torch.tensor([[9.0, 9.0, -0.1]])
    assert smoothed(action, noise, 0.5, (-1, -1, -1), (1, torch.inf, 1)).tolist() == [
        [1.0, pytest.approx(1.4), pytest.approx(-0.3)]
    ]
