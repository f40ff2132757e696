"""A scan is the composition of one cell over the steps: torch's recurrent networks, and the graphs do not grow."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.compile import compile_schedule
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.envs import arrays
from antiphon.errors import GrammarError, ShapeError
from antiphon.grammars import Factory, Grammar, QueryDraft, chain_rule, exact, minimise, scan, truncated
from antiphon.grammars.cost import cost
from antiphon.grammars.oracle import State

BATCH, STEPS, WIDTH, HIDDEN = 4, 5, 3, 6
LENGTHS = torch.tensor([5, 1, 3, 2])


def pair(kind: str) -> tuple[Any, nn.RNNBase, list[torch.Tensor]]:
    """A scan of torch's cell, torch's own network with the same weights, and tensors of a state to start from."""
    cell, network, carried = {"RNN": (nn.RNNCell, nn.RNN, 1), "LSTM": (nn.LSTMCell, nn.LSTM, 2)}[kind]
    ours = scan(cell, WIDTH, HIDDEN, carried=carried)().double()
    theirs = network(WIDTH, HIDDEN, batch_first=True).double()
    theirs.load_state_dict({f"{name}_l0": value for name, value in ours.cell.state_dict().items()})
    return ours, theirs, [torch.randn(BATCH, HIDDEN).double().requires_grad_() for _ in range(carried)]


def of_torch(network: nn.RNNBase, x, state):
    """The outputs of torch's network: those of all steps, then the state after the last step."""
    start = None if not state else tuple(each[None] for each in state) if len(state) > 1 else state[0][None]
    played, last = network(x, start)
    return [played, *(each[0] for each in (last if isinstance(last, tuple) else (last,)))]


@pytest.mark.parametrize("kind", ["RNN", "LSTM"])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("stepwise", [True, False])
def test_values_and_gradients_are_those_of_torchs_networks(kind, given, stepwise):
    torch.manual_seed(0)
    ours, theirs, state = pair(kind)
    steps = []
    if stepwise:  # a cell with a hook is called at every step
        ours.cell.register_forward_hook(lambda *_: steps.append(1))
    state = state if given else []
    x = torch.randn(BATCH, STEPS, WIDTH).double().requires_grad_()
    found, truth = ours(x, *state), of_torch(theirs, x, state)
    weights = [torch.randn_like(each) for each in truth]
    assert len(steps) == STEPS * stepwise
    for mine, other in zip(found, truth, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)
    for mine, other in zip(
        torch.autograd.grad(found, [x, *state, *ours.parameters()], weights),
        torch.autograd.grad(truth, [x, *state, *theirs.parameters()], weights),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["RNN", "LSTM"])
def test_masked_sequences_are_torchs_packed_sequences(kind):
    torch.manual_seed(1)
    ours, theirs, state = pair(kind)
    ours.masked = True
    x = torch.randn(BATCH, STEPS, WIDTH).double().requires_grad_()
    found = ours(x, *state, torch.arange(STEPS) < LENGTHS[:, None])
    packed = nn.utils.rnn.pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    start = tuple(each[None] for each in state)
    played, last = theirs(packed, start if kind == "LSTM" else start[0])
    truth = [
        nn.utils.rnn.pad_packed_sequence(played, batch_first=True)[0],
        *(each[0] for each in (last if kind == "LSTM" else (last,))),
    ]
    weights = [torch.randn_like(each) for each in truth]
    for mine, other in zip(found, truth, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)
    one, two = torch.autograd.grad(found, [x, *state], weights), torch.autograd.grad(truth, [x, *state], weights)
    for mine, other in zip(one, two, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def tallied(x, weight, state):
    """A cell without parameters: the weighted sum so far, and as output how much it is above zero."""
    total = state + weight[:, None] * x
    return total.relu(), total


def test_a_function_over_two_sequences_with_an_output_of_its_own():
    torch.manual_seed(2)
    x, weight = torch.randn(BATCH, STEPS, WIDTH), torch.randn(BATCH, STEPS)
    outputs, last = scan(tallied, sequences=2)()(x, weight, torch.zeros(BATCH, WIDTH))
    total = (weight[..., None] * x).cumsum(1)
    torch.testing.assert_close(outputs, total.relu())
    torch.testing.assert_close(last, total[:, -1])


class Counted(nn.Module):
    """A cell that counts its calls."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.5))

    def forward(self, x, state=None):
        Counted.calls += 1
        return self.rate * x + (0 if state is None else state)


def game(steps: int, cell: Factory, through: int | None = None) -> Grammar:
    """Least squares on the last output of a scanned player; x and y are always the same."""
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(BATCH, steps, WIDTH, generator=generator), torch.randn(BATCH, HIDDEN, generator=generator)
    q = QueryDraft()
    x, y = q.oracle("Nature", arrays(x.double(), y.double(), batch=BATCH, shuffle=False))()
    _, last, *_ = q.player("Cell", cell)(x)
    guess = q.player("Readout", nn.Linear, last.type.shape[1], HIDDEN, dtype=torch.float64)(last)
    objective = minimise(q.loss("Loss", nn.functional.mse_loss)(guess, y))
    edit = [] if through is None else [truncated("Cell", through=through, every=1)]
    return Grammar("scanned", q.graph(), chain_rule(q, objective, edit=edit), objective, exact())


LSTM = scan(nn.LSTMCell, WIDTH, HIDDEN, dtype=torch.float64, carried=2)


def response(grammar: Grammar) -> tuple[dict[str, list[torch.Tensor]], Mapping[str, State]]:
    """What each player hears in the first round, and the states before."""
    with InlineExecutor(assign(grammar, RECORDER, seed=0)) as executor:
        states = executor.states()
        executor.play(1)
        return delivered(executor), states


def test_the_delivered_gradient_is_that_of_torchs_lstm():
    grammar = game(STEPS, LSTM)
    told, states = response(grammar)
    network = nn.LSTM(WIDTH, HIDDEN, batch_first=True).double()
    own = states["Cell"]["parameters"]
    network.load_state_dict({f"{name.removeprefix('cell.')}_l0": value for name, value in own.items()})
    readout = nn.Linear(HIDDEN, HIDDEN).double()
    readout.load_state_dict(states["Readout"]["parameters"])
    oracle = grammar.query.oracles[0].declaration.make(seed=0)
    x, y = oracle.answer("sample", (), 0)
    loss = nn.functional.mse_loss(readout(network(x)[1][0][0]), y)
    truth = torch.autograd.grad(loss, list(network.parameters()))
    for mine, other in zip(told["Cell"], truth, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-11, atol=1e-14)


def test_graphs_schedule_and_declaration_do_not_grow_with_the_steps():
    sizes = set()
    for steps in (2, 300):
        Counted.calls = 0
        grammar = game(steps, scan(Counted))
        schedule = compile_schedule(grammar, spread(grammar))
        sizes.add((len(grammar.query.nodes), len(grammar.response.nodes), len(schedule.steps), Counted.calls))
        assert cost(grammar).steps == {"Cell": steps}
    assert len(sizes) == 1


def test_the_graphs_name_the_loop_and_its_truncation():
    assert f"a loop of {STEPS} steps" in repr(game(STEPS, LSTM).query)
    assert "BPTT(2; 1)" in repr(game(STEPS, LSTM, through=2).response)
    assert game(STEPS, LSTM).signature != game(STEPS, LSTM, through=2).signature


def widened(x, state):
    """A cell whose state grows."""
    return torch.cat([state, state], 1)


def doubled(x, state):
    """A cell that changes the dtype of its state."""
    return state.double()


REFUSED = {
    "a state of another shape": (widened, {}, [(2, 5, 3), (2, 4)], ("float32[2, 4]", "float32[2, 8]")),
    "a state of another dtype": (doubled, {}, [(2, 5, 3), (2, 4)], ("float32[2, 4]", "float64[2, 4]")),
    "a mask of another length": (torch.add, {"masked": True}, [(2, 5, 3), (2, 3), (2, 4)], ("5 steps", "bool[2, 4]")),
    "zero steps": (torch.add, {}, [(2, 0, 3), (2, 3)], ("zero steps",)),
    "too few inputs": (torch.add, {"carried": 2}, [(2, 5, 3), (2, 3)], ("2 inputs", "0 or 2 tensors")),
    "sequences of two lengths": (torch.add, {"sequences": 2}, [(2, 5, 3), (2, 4, 3)], ("(2, 5, 3)", "(2, 4, 3)")),
    "no state": (torch.neg, {"carried": 2}, [(2, 5, 3)], ("1 tensors", "the last 2", "`carried`")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_scan_can_take_is_refused_where_it_is_declared(case):
    cell, options, shapes, told = REFUSED[case]
    q = QueryDraft()
    columns = [torch.zeros(shape) for shape in shapes]
    if options.get("masked"):
        columns[-1] = columns[-1].bool()
    values = q.oracle("Nature", arrays(*columns, batch=2))()
    values = values if isinstance(values, tuple) else (values,)
    with pytest.raises(ShapeError) as refused:
        q.operator("Loop", scan(cell, **options))(*values)
    assert "'Loop'" in str(refused.value) and all(each in str(refused.value) for each in told), refused.value


@pytest.mark.parametrize(
    ("owner", "through", "every", "told"),
    [("Cell", 2, 3, "at least `every`"), ("Readout", 2, 1, "no steps"), ("Cel", 2, 1, "no player")],
)
def test_a_truncation_without_a_meaning_is_refused(owner, through, every, told):
    grammar = game(STEPS, LSTM)
    with pytest.raises(GrammarError, match=told):
        edited = chain_rule(grammar.query, grammar.objective, edit=truncated(owner, through=through, every=every))
        edited.types(grammar.query)


@pytest.mark.parametrize(("through", "learned"), [(8, True), (2, False)])
def test_errors_must_flow_back_to_the_step_that_holds_the_answer(through, learned):
    """The first of eight steps holds the answer. Errors that end after two steps teach next to nothing about it."""
    x = torch.randn(64, 8, 1, generator=torch.Generator().manual_seed(4))
    q = QueryDraft()
    x, y = q.oracle("Nature", arrays(x, x[:, 0].sign(), batch=64))()
    _, last = q.player("Cell", scan(nn.GRUCell, 1, 8))(x)
    objective = minimise(q.loss("Loss", nn.functional.mse_loss)(q.player("Readout", nn.Linear, 8, 1)(last), y))
    edit = truncated("Cell", through=through, every=through)
    grammar = Grammar("first", q.graph(), chain_rule(q, objective, edit=edit), objective)
    with InlineExecutor(assign(grammar, AgentSpecification.of("Adam", {"lr": 0.05}), seed=0)) as play:
        loss = play.play(150).losses["Loss"].values[-1]
    assert loss < 0.1 if learned else loss > 0.3, loss
