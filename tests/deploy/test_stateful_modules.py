"""Whatever a module keeps between rounds is saved, told and copied: 2k rounds are k, a checkpoint, and k more."""

import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.cloudpickle import register_pickle_by_value  # pyright: ignore[reportPrivateImportUsage]  # public, says Ray
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from antiphon.agents import AgentSpecification
from antiphon.coordinator.assignment import Assignment, assign
from antiphon.coordinator.checkpoint import load_states, read_manifest
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.placement import spread
from antiphon.envs import arrays
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.objective import minimise

ROUNDS = 3
ADAM = AgentSpecification.of("Adam", {"lr": 0.05})


class Base(nn.Module):
    """Four in, three out; children say what they keep."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.begin()

    def begin(self) -> None: ...

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * (1 + 0.1 * self.seen(x))

    def seen(self, x: Tensor) -> Any:
        return 0.0


class Persistent(Base):
    def begin(self) -> None:
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("odd", torch.tensor(False))
        self.register_buffer("nothing", None)

    def seen(self, x: Tensor) -> Any:
        self.count += 1
        self.odd.logical_not_()
        return self.count * self.odd


class NotPersistent(Base):
    def begin(self) -> None:
        self.register_buffer("mean", torch.zeros(()), persistent=False)

    def seen(self, x: Tensor) -> Any:
        self.mean.lerp_(x.detach().mean(), 0.5)
        return self.mean


class Assigned(Base):
    """A buffer that is another tensor after each pass, and a longer one."""

    def begin(self) -> None:
        self.register_buffer("means", torch.zeros(0))

    def seen(self, x: Tensor) -> Any:
        self.means = torch.cat([self.means, x.detach().mean().reshape(1)])
        return self.means.sum()


class Lazy(Base):
    """A buffer that is not there before the first pass, one that is None until then, and one that is None later."""

    def begin(self) -> None:
        self.register_buffer("later", None)
        self.register_buffer("gone", torch.ones(2))

    def seen(self, x: Tensor) -> Any:
        if not hasattr(self, "total"):
            self.register_buffer("total", torch.zeros(()))
        self.later = torch.ones(2) if self.later is None else self.later + 1
        first = 0.0 if self.gone is None else self.gone.sum()
        self.gone, self.total = None, self.total + x.detach().mean()
        return self.total + self.later.sum() + first


class Extra(Base):
    """Plain attributes, told by the module itself."""

    def begin(self) -> None:
        self.passes, self.means = 0, {1: [], "of": (0.5, None)}

    def seen(self, x: Tensor) -> Any:
        self.passes += 1
        self.means[1].append(x.detach().mean())
        return self.passes + sum(self.means[1]) * self.means["of"][0]

    def get_extra_state(self) -> Any:
        return {"passes": self.passes, "means": self.means}

    def set_extra_state(self, state: Any) -> None:
        self.passes, self.means = state["passes"], state["means"]


class OwnWay(Base):
    """Saves a number under a key that is neither a parameter nor a buffer."""

    def begin(self) -> None:
        self.passes = 0

    def seen(self, x: Tensor) -> Any:
        self.passes += 1
        return self.passes

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}passes"] = torch.tensor(self.passes)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        self.passes = int(state_dict.pop(f"{prefix}passes"))
        super()._load_from_state_dict(state_dict, prefix, *args)


class Renamed(Persistent):
    """Hooks give its entries other names, and leave one out."""

    def begin(self) -> None:
        super().begin()
        self._register_state_dict_hook(_renamed)
        self.register_load_state_dict_pre_hook(_named_back)


def _renamed(module: nn.Module, state: OrderedDict, prefix: str, _: Any) -> None:
    state[f"{prefix}layer.weight"] = state.pop(f"{prefix}linear.weight")
    del state[f"{prefix}count"]


def _named_back(module: nn.Module, state: Any, prefix: str, *_: Any) -> None:
    state[f"{prefix}linear.weight"] = state.pop(f"{prefix}layer.weight")


class Tied(Base):
    """One layer under two names."""

    def begin(self) -> None:
        self.again = nn.Linear(3, 3)
        self.twice = nn.Sequential(self.again, nn.BatchNorm1d(3), self.again)

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.twice(self.linear(x)))


class Complex(Base):
    """Complex parameters alone: one dtype a player."""

    def begin(self) -> None:
        self.linear = nn.Linear(4, 3, dtype=torch.complex64)
        self.register_buffer("turn", torch.ones((), dtype=torch.complex128))

    def forward(self, x: Tensor) -> Tensor:
        self.turn *= 1j
        return (self.linear(x.to(torch.complex64)) * self.turn.to(torch.complex64)).abs()


class Sparse(Base):
    """Gradients that torch tells sparsely."""

    def begin(self) -> None:
        self.table = nn.Embedding(5, 3, sparse=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.table((x[:, 0] > 0).long())


class Collected(nn.Module):
    """Parameters in a list and a dict, one of them frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.many = nn.ParameterList([torch.randn(4, 3), torch.randn(3)])
        self.named = nn.ParameterDict({"scale": torch.ones(3)})
        self.many[1].requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.many[0] + self.many[1]) * self.named["scale"]


def normed() -> nn.Module:
    """The weight is no parameter, but computed by a hook, as torch did before parametrizations."""
    return nn.utils.weight_norm(nn.Linear(4, 3))


def spectral() -> nn.Module:
    """Its buffers are vectors of a power iteration."""
    return nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))


def replaced() -> nn.Module:
    """A method of the instance, bound to the very module."""
    layer = nn.Linear(4, 3)
    layer.forward = lambda x: nn.functional.linear(x, layer.weight, layer.bias).relu()
    return layer


MODULES = {
    each.__name__: each
    for each in (
        *(Persistent, NotPersistent, Assigned, Lazy, Extra, OwnWay, Renamed, Tied, Complex, Sparse, Collected),
        *(normed, spectral, replaced),
    )
}

register_pickle_by_value(sys.modules[__name__])


def game(*makes: Callable[[], nn.Module]) -> Grammar:
    """Each module learns from y and from a clone that follows it slowly; all share x."""
    q = QueryDraft()
    generator = torch.Generator().manual_seed(0)
    x, y = q.oracle("Nature", arrays(*(torch.randn(12, n, generator=generator) for n in (4, 3)), batch=6))()
    losses = []
    for make in makes:
        name = make.__name__
        player = q.player(name, make)
        old = q.clone(f"{name}~", player, soft=0.5)(x)
        played = player(x)
        losses += [q.loss(f"{name} y", mse_loss)(played, y), q.loss(f"{name} old", mse_loss)(played, old)]
    objective = minimise(*losses)
    return Grammar("stateful", q.graph(), chain_rule(q, objective), objective, exact())


def assignment(grammar: Grammar, **placed: Any) -> Assignment:
    return assign(grammar, ADAM, placement=spread(grammar, **placed) if placed else None, seed=1)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and one.equal(other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def assert_same(one: Any, other: Any) -> None:
    for name in one.keys() | other.keys():
        for table in one[name].keys() | other[name].keys():
            assert same(one[name][table], other[name][table]), (name, table)


@pytest.mark.parametrize("name", MODULES)
def test_rounds_go_on_from_disk_as_if_they_had_never_stopped(name: str, tmp_path: Path) -> None:
    make = MODULES[name]
    with InlineExecutor(assignment(game(make))) as whole, InlineExecutor(assignment(game(make))) as half:
        told = whole.play(2 * ROUNDS).losses
        half.play(ROUNDS)
        at_half = half.states()
        half.save(tmp_path)
        half.play(ROUNDS)  # saving and telling leave the run as it was
        assert_same(half.states(), whole.states())
        manifest = read_manifest(tmp_path)
        assert_same(load_states(tmp_path, manifest.names), at_half)
        for fresh in (InlineExecutor(assignment(game(make))), half):  # back in time too
            fresh.load(load_states(tmp_path, manifest.names), manifest.round)
            assert_same(fresh.states(), at_half)
            played = fresh.play(ROUNDS).losses
            assert_same(fresh.states(), whole.states())
            assert all(played[loss].values == told[loss].values[ROUNDS:] for loss in told)
