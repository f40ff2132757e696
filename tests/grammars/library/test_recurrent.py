"""A recurrent language model: its state lives from round to round, also through a checkpoint; what R promises of it."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.check import check_grammar
from antiphon.checks.suites.recurrent import shortened, small
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.envs import text, text_streams
from antiphon.errors import GrammarError
from antiphon.grammars import Grammar, exact
from antiphon.grammars.library.recurrent import recurrent
from antiphon.grammars.library.transformer import next_symbol_loss
from antiphon.grammars.states import same_states
from antiphon.grammars.truncation import Truncation
from antiphon.oracles import memory

BATCH, CONTEXT, WIDTH, RATE = 2, 4, 6, 0.5
SGD = AgentSpecification.of("SGD", {"lr": RATE})


@pytest.fixture
def path(tmp_path):
    """A text of four windows for each of two examples."""
    path = tmp_path / "text"
    path.write_bytes(bytes(torch.randint(7, (37,), generator=torch.Generator().manual_seed(0)).tolist()))
    return path


def game(path, truncation: Truncation | None = None) -> Grammar:
    states = memory((WIDTH,), (WIDTH,), batch=BATCH)
    return recurrent(text_streams(path, batch=BATCH, context=CONTEXT), states, WIDTH, 7, truncation=truncation)


def test_it_is_torchs_lstm_with_the_state_carried_from_round_to_round(path):
    """Six rounds of four windows each: after the fourth the text begins again, and with it the state."""
    grammar = game(path)
    with InlineExecutor(assign(grammar, SGD, seed=0)) as executor:
        states = executor.states()
        losses = list(executor.play(6).losses["Loss"].values)
        found = executor.states()
    embedding, network, readout = nn.Embedding(7, WIDTH), nn.LSTM(WIDTH, WIDTH, batch_first=True), nn.Linear(WIDTH, 7)
    cell = {f"{name.removeprefix('cell.')}_l0": each for name, each in states["Cell1"]["parameters"].items()}
    network.load_state_dict(cell)
    embedding.load_state_dict(states["Embedding"]["parameters"])
    readout.load_state_dict(states["Readout"]["parameters"])
    data = torch.tensor(list(path.read_bytes())[:34])
    optimizer = torch.optim.SGD([*embedding.parameters(), *network.parameters(), *readout.parameters()], lr=RATE)
    kept: Any = None  # a tuple of state and cell state
    for round, loss in enumerate(losses):
        first = CONTEXT * (round % 4)
        windows = torch.stack([data[part + first : part + first + CONTEXT + 1] for part in (0, 16)])
        played, kept = network(embedding(windows[:, :-1]), kept if round % 4 else None)
        kept = tuple(each.detach() for each in kept)
        value = next_symbol_loss(readout(played), windows[:, 1:])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        assert loss == pytest.approx(float(value.detach()), rel=1e-5)
    torch.testing.assert_close(found["Memory"]["kept"], [each[0] for each in kept], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("truncation", [None, Truncation(3, 2)])
def test_a_resumed_run_goes_on_with_the_same_bits(path, truncation):
    assignment = assign(game(path, truncation), SGD, seed=0)
    with InlineExecutor(assignment) as whole, InlineExecutor(assignment) as resumed:
        whole.play(3)
        middle = whole.states()
        whole.play(3)
        resumed.load(middle, 3)
        resumed.play(3)
        assert same_states(whole.states(), resumed.states())
        assert not same_states(whole.states()["Memory"], middle["Memory"])


def test_a_truncated_gradient_is_promised_as_what_it_is(path):
    assert repr(game(path, Truncation(2, 1)).guarantee) == "exact + estimated"
    assert repr(game(path, Truncation(CONTEXT, 1)).guarantee) == repr(game(path).guarantee) == "exact"
    for seed in range(2):
        grammar = shortened(seed)
        rows = check_grammar(grammar, instances=1).rows
        assert not any(row.failed for row in rows)
        flattered = check_grammar(replace(grammar, guarantee=exact()), instances=1).rows
        blamed = {failure.player for row in flattered for failure in row.failures}
        assert blamed and "Readout" not in blamed


def test_bptt_of_all_steps_is_exact_whatever_the_stride():
    for every in (1, 2, 5):
        grammar = small(1, 5, Truncation(5, every))
        rows = check_grammar(replace(grammar, guarantee=exact()), instances=1).rows
        assert [row.verdict for row in rows] == ["kept"]


def test_with_one_step_a_round_only_the_memory_knows_what_came_before(tmp_path):
    """Of the text aabaab..., what follows an a depends on the byte before it. Without it, two of three bytes cost ln 2
    or more in the mean."""
    path = tmp_path / "text"
    path.write_bytes(b"aab" * 300)
    grammar = recurrent(text_streams(path, batch=4, context=1), memory((8,), (8,), batch=4), 8, 128)
    with InlineExecutor(assign(grammar, AgentSpecification.of("Adam", {"lr": 0.02}), seed=0)) as play:
        losses = play.play(300).losses["Loss"].values
    assert sum(losses[-30:]) / 30 < 0.7 * 2 / 3 * math.log(2)


def test_oracles_with_other_answers_are_refused(path):
    streams, two = text_streams(path, batch=BATCH, context=CONTEXT), memory((WIDTH,), (WIDTH,), batch=BATCH)
    for nature, states, layers, told in [
        (text(path, batch=BATCH, context=CONTEXT), two, 1, "'Nature' .* 2 values; expected 3"),
        (streams, two, 2, "'Memory' .* 2 values; expected 4"),
        (streams, streams, 1, "'Memory' .* no such question"),
    ]:
        with pytest.raises(GrammarError, match=told):
            recurrent(nature, states, WIDTH, 7, layers)
