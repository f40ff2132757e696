"""A player hears what `.grad` would hold after plain PyTorch's `backward()`, whatever was done to its module."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import pytest
import torch
from hypothesis import given, reject, settings, strategies as st
from torch import Tensor, nn
from torch.nn.functional import linear, mse_loss
from torch.nn.modules import module as shared
from torch.nn.utils import parametrizations, parametrize

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.errors import GrammarError, ProtocolError
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.objective import minimise
from antiphon.grammars.oracle import Memoryless, OracleDeclaration, Question
from antiphon.grammars.seeds import at_round, stream
from antiphon.grammars.types import Batch, EdgeType

ROUNDS, SEED, F64 = 3, 5, torch.float64
Change: TypeAlias = Callable[[nn.Module], Any]


class Points(Memoryless):
    """Points x and y, (5, 4) each, fresh each round."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(at_round(self._seed, round))
        return tuple(torch.randn(5, 4, dtype=F64, generator=generator) for _ in "xy")  # pyright: ignore


POINTS = EdgeType((Batch(), 4), F64)
NATURE = OracleDeclaration(Factory.of(Points), (Question("sample", (), (POINTS, POINTS)),), (("batch", 5),))


class OwnSequence(nn.Sequential):
    """A way to make it, and nothing else."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4, bias=False))


class Doubling(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Calling(nn.Linear):
    def __call__(self, *inputs: Any) -> Any:
        return 3 * super().__call__(*inputs)


class Reversed(nn.Sequential):
    def __iter__(self) -> Iterator[nn.Module]:
        return reversed(list(self._modules.values()))  # pyright: ignore


class Unused(nn.Sequential):
    """One parameter more than its links have."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 4))
        self.scale = nn.Parameter(torch.ones(4))


class Odd(nn.Parameter):
    """Products of it are doubled."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = super().__torch_function__(function, types, args, kwargs or {})
        return 2 * found if function is linear else found


BASES: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(4, 4),
    "sequence": lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)),
    "own sequence": OwnSequence,
    "doubling": lambda: Doubling(4, 4),
    "calling": lambda: Calling(4, 4),
    "calling inside": lambda: nn.Sequential(Calling(4, 4), nn.ReLU()),
    "reversed": lambda: Reversed(nn.Linear(4, 4), nn.ReLU()),
    "unused": Unused,
    "layer norm": lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU()),
    "normed": lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)),
}


def first(module: nn.Module) -> Any:
    """The layer in it that has a weight."""
    return next(each for each in module.modules() if isinstance(each, nn.Linear))


def weight(module: nn.Module) -> Tensor:
    return next(module.parameters())


def replace_forward(module: nn.Module) -> None:
    before = module.forward
    module.forward = lambda *x: before(*x).sin()


def computed_weight(module: nn.Module) -> None:
    """The weight is a tensor that is computed anew at each pass."""
    layer = first(module)
    held = layer.weight
    del layer.weight
    layer.register_parameter("held", held)
    layer.register_forward_pre_hook(lambda each, _: setattr(each, "weight", each.held.cos()))


def frozen_weight(module: nn.Module) -> None:
    first(module).weight.requires_grad_(False)


def buffered_weight(module: nn.Module) -> None:
    layer = first(module)
    held = layer.weight.detach()
    del layer.weight
    layer.register_buffer("weight", held)


def odd_weight(module: nn.Module) -> None:
    layer = first(module)
    layer.weight = Odd(layer.weight.detach())


def tied_weights(module: nn.Module) -> None:
    layers = [each for each in module.modules() if isinstance(each, nn.Linear)]
    layers[-1].weight = layers[0].weight


def broad_bias(module: nn.Module) -> None:
    first(module).bias = nn.Parameter(torch.ones(1))


def counted(module: nn.Module) -> None:
    """A backward hook with a state: what it does depends on how often it was called."""
    module.register_buffer("calls", torch.zeros((), dtype=F64))

    def hook(each: Any, told: Any) -> Any:
        each.calls += 1
        return tuple(value * each.calls for value in told)

    module.register_full_backward_pre_hook(hook)


class Positive(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


def grad_halved(parameter: Tensor) -> None:
    assert parameter.grad is not None
    parameter.grad = parameter.grad / 2


HOOKS: dict[str, Change] = {
    "forward hook": lambda m: m.register_forward_hook(lambda _, x, y: y.sin()),
    "forward hook inside": lambda m: first(m).register_forward_hook(lambda _, x, y: y * x[0]),
    "forward hook with keywords": lambda m: m.register_forward_hook(lambda _, x, k, y: 2 * y, with_kwargs=True),
    "forward pre-hook": lambda m: m.register_forward_pre_hook(lambda _, x: (x[0] * 3,)),
    "backward hook": lambda m: m.register_full_backward_hook(lambda _, up, told: tuple(-each for each in up)),
    "backward hook inside": lambda m: first(m).register_full_backward_pre_hook(lambda _, told: (told[0].clamp(-0.1),)),
    "old backward hook": lambda m: first(m).register_backward_hook(lambda *_: None),
    "counted": counted,
    "masked": lambda m: weight(m).register_hook(torch.zeros_like),
    "clipped": lambda m: weight(m).register_hook(lambda told: told.clamp(-0.1, 0.1)),
    "after accumulation": lambda m: weight(m).register_post_accumulate_grad_hook(grad_halved),
    "dropped after accumulation": lambda m: weight(m).register_post_accumulate_grad_hook(
        lambda parameter: setattr(parameter, "grad", None)
    ),
    "replaced forward": replace_forward,
    "replaced forward inside": lambda m: replace_forward(first(m)),
    "replaced call": lambda m: setattr(m, "_call_impl", lambda x: m.forward(x) * 2),
}
FORMS: dict[str, Change] = {
    "weight norm": lambda m: parametrizations.weight_norm(first(m)),
    "spectral norm": lambda m: parametrizations.spectral_norm(first(m)),
    "orthogonal": lambda m: parametrizations.orthogonal(first(m)),
    "parametrized": lambda m: parametrize.register_parametrization(first(m), "weight", Positive()),
    "old weight norm": lambda m: nn.utils.weight_norm(first(m)),
    "old spectral norm": lambda m: nn.utils.spectral_norm(first(m)),
    "computed weight": computed_weight,
    "buffered weight": buffered_weight,
    "frozen weight": frozen_weight,
    "odd weight": odd_weight,
    "tied weights": tied_weights,
    "broad bias": broad_bias,
}
CHANGES = {**HOOKS, **FORMS}


def build(base: str, changes: Sequence[str]) -> nn.Module:
    """The base in float64, with every change made to it."""
    module = BASES[base]().to(F64)
    for each in changes:
        CHANGES[each](module)
    return module.to(F64)


def plain() -> nn.Module:
    return nn.Linear(4, 4, dtype=F64)


def game(base: str, changes: Sequence[str], uses: int = 1) -> Grammar:
    """A plain layer before and behind the module, so that it is asked for both of its products."""
    q = QueryDraft()
    x, y = q.oracle("Nature", NATURE)()
    value, middle = q.player("Before", plain)(x), q.player("Module", build, base, tuple(changes))
    for _ in range(uses):
        value = middle(value)
    objective = minimise(q.loss("Loss", mse_loss)(q.player("After", plain)(value), y))
    return Grammar("game", q.graph(), chain_rule(q, objective), objective, exact())


def alone(base: str, changes: Sequence[str], late: Sequence[str], uses: int = 1) -> Iterator[dict[str, nn.Module]]:
    """The players after each round of plain PyTorch: `backward()`, and a step with momentum."""
    makes = {"Before": plain, "Module": lambda: build(base, changes), "After": plain}
    modules: dict[str, nn.Module] = {}
    for name, make in makes.items():
        torch.manual_seed(stream(SEED, "player", name))
        modules[name] = make().train()
    learned = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=0.05, momentum=0.9)
    for round in range(ROUNDS):
        for each in late if round == 1 else ():
            CHANGES[each](modules["Module"])
        value, y = NATURE.make(stream(SEED, "oracle", "Nature")).answer("sample", (), round)
        optimizer.zero_grad()
        value = modules["Before"](value)
        for _ in range(uses):
            value = modules["Module"](value)
        mse_loss(modules["After"](value), y).backward()
        for parameter in learned:  # nothing told is zero told: momentum goes on
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        optimizer.step()
        yield modules


def assert_as_alone(base: str, changes: Sequence[str], late: Sequence[str], order: StepOrder, uses: int = 1) -> None:
    grammar = game(base, changes, uses)
    agent = AgentSpecification.of("SGD", {"lr": 0.05, "momentum": 0.9})
    placement = spread(grammar) if order is StepOrder.ZERO_BUBBLE else None
    with InlineExecutor(assign(grammar, agent, placement=placement, seed=SEED, order=order)) as executor:
        for round, modules in enumerate(alone(base, changes, late, uses)):
            for each in late if round == 1 else ():
                stage = next(stage for stage in executor._hosted.values() if "Module" in stage.players)
                CHANGES[each](stage.players["Module"].module)
            executor.play(1)
            for name, module in modules.items():
                told = executor.states()[name]
                for key, value in (*module.named_parameters(), *module.named_buffers()):
                    found = {**told["parameters"], **told["buffers"]}[key]
                    torch.testing.assert_close(found, value.detach(), rtol=1e-9, atol=1e-12, msg=f"{name} {key}")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("order", [StepOrder.GPIPE, StepOrder.ZERO_BUBBLE])
@pytest.mark.parametrize("change", CHANGES)
def test_each_change_counts_as_it_does_in_plain_torch(change: str, order: StepOrder) -> None:
    assert_as_alone("linear", [change], [], order)


@pytest.mark.parametrize("base", BASES)
def test_each_kind_of_chain_plays_as_in_plain_torch(base: str) -> None:
    assert_as_alone(base, [], [], StepOrder.ZERO_BUBBLE)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@settings(max_examples=40)
@given(st.data())
def test_changes_together_and_changes_that_come_late_count_as_in_plain_torch(data: st.DataObject) -> None:
    base = data.draw(st.sampled_from(sorted(BASES)))
    form = data.draw(st.sampled_from(["", *sorted(FORMS)]))
    early = data.draw(st.lists(st.sampled_from(sorted(HOOKS)), max_size=2, unique=True))
    late = data.draw(st.lists(st.sampled_from(sorted(HOOKS.keys() - {"counted"})), max_size=2, unique=True))
    order = data.draw(st.sampled_from([StepOrder.GPIPE, StepOrder.ZERO_BUBBLE]))
    changes = [form, *early] if form else early
    try:
        with torch.random.fork_rng(devices=[]):
            module = build(base, changes)
            module(torch.randn(5, 4, dtype=F64)).sum().backward()
    except Exception:
        reject()  # torch itself has no such module: a hook on a weight that is computed, say
    assert_as_alone(base, changes, late, order)


@contextmanager
def everywhere(register: Callable[[Any], Any], hook: Any) -> Iterator[None]:
    handle = register(hook)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")  # as in plain torch: x requires no gradient
@pytest.mark.parametrize(
    ("register", "hook"),
    [
        (shared.register_module_forward_hook, lambda m, x, y: y.sin()),
        (shared.register_module_forward_pre_hook, lambda m, x: (x[0] * 2,)),
        (
            shared.register_module_full_backward_hook,
            lambda m, up, told: tuple(each if each is None else each * 2 for each in up),
        ),
        (shared.register_module_full_backward_pre_hook, lambda m, told: tuple(each * 3 for each in told)),
    ],
)
def test_hooks_of_every_module_count_as_in_plain_torch(register: Callable[[Any], Any], hook: Any) -> None:
    grammar = game("sequence", [])
    agent = AgentSpecification.of("SGD", {"lr": 0.05, "momentum": 0.9})
    # Made before the hook is there, and played after it: the operators have been chosen by then.
    with InlineExecutor(assign(grammar, agent, seed=SEED)) as executor, everywhere(register, hook):
        *_, modules = alone("sequence", [], [])
        executor.play(ROUNDS)
        for name, value in modules["Before"].named_parameters():
            torch.testing.assert_close(executor.states()["Before"]["parameters"][name], value.detach())


def test_a_method_of_a_class_that_is_replaced_later_counts(monkeypatch) -> None:
    made = assign(game("linear", []), seed=SEED)
    with InlineExecutor(made) as one, InlineExecutor(made) as other:
        before = one.play(1).losses["Loss"].values
        monkeypatch.setattr(nn.Linear, "forward", lambda self, x: linear(x, self.weight, self.bias).sin())
        assert other.play(1).losses["Loss"].values != before


@pytest.mark.parametrize("hook", ["masked", "clipped", "after accumulation"])
def test_a_player_that_hears_twice_a_round_has_no_hooks_on_parameters(hook: str) -> None:
    """torch would call them once, with the sum; each use of the player is told for itself."""
    with pytest.raises(GrammarError) as caught:
        assert_as_alone("linear", [hook], [], StepOrder.GPIPE, uses=2)
    text = str(caught.value)
    assert "'Module'" in text and "hooks" in text and "expected one" in text and "agent" in text
    with pytest.raises(GrammarError):
        assert_as_alone("linear", [], [hook], StepOrder.GPIPE, uses=2)


@pytest.mark.parametrize("hook", ["forward hook", "backward hook", "backward hook inside", "replaced forward"])
def test_other_hooks_are_called_at_each_use(hook: str) -> None:
    assert_as_alone("linear", [hook], [], StepOrder.ZERO_BUBBLE, uses=2)


def freezes_itself() -> nn.Module:
    def freeze(each: nn.Module, _: Any) -> None:
        each.get_parameter("weight").requires_grad_(False)

    layer = plain()
    layer.register_forward_pre_hook(freeze)
    return layer


def test_a_parameter_that_is_frozen_on_the_way_is_refused_by_name() -> None:
    q = QueryDraft()
    x, y = q.oracle("Nature", NATURE)()
    objective = minimise(q.loss("Loss", mse_loss)(q.player("Layer", freezes_itself)(x), y))
    grammar = Grammar("game", q.graph(), chain_rule(q, objective), objective, exact())
    with InlineExecutor(assign(grammar)) as executor, pytest.raises(ProtocolError) as caught:
        executor.play(1)
    text = str(caught.value)
    assert "'Layer'" in text and "1 parameters" in text and "Freeze them where the module is made" in text
