"""Code that a worker cannot import, or that cannot be sent to one, is refused with its owner, process and reason."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator

import gymnasium
import pytest
from torch import nn

from antiphon.agents import AgentSpecification
from antiphon.coordinator.importable import pickled, unreadable
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.envs import nature
from antiphon.errors import AntiphonError, ExperimentError, OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop, dac
from antiphon.grammars.library.networks import Policy, StateAction
from antiphon.oracles import gaussian
from rigs.agents import Momentum
from rigs.games import points

NET = """
from torch import nn

class Net(nn.Linear):
    pass
"""
FRAGILE = """
import os
from torch import nn

place = {place!r}
present = len(os.listdir(place))
if present == 2:  # the driver and the coordinator
    raise RuntimeError("no third process")
open(os.path.join(place, str(present)), "w").close()

class Net(nn.Linear):
    pass
"""


@pytest.fixture
def beside(tmp_path, monkeypatch) -> Iterator[Callable[[str], None]]:
    """Write a module with this text into a folder from which only the driver imports."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> None:
        (tmp_path / "beside_the_driver.py").write_text(text)
        sys.modules.pop("beside_the_driver", None)
        importlib.invalidate_caches()

    yield write
    sys.modules.pop("beside_the_driver", None)


def net(module: str) -> Callable[..., nn.Module]:
    return importlib.import_module(module).Net


def grammar_of(last: Callable[..., nn.Module]) -> Grammar:
    return backprop(points(4), {"First": Factory.of(nn.Linear, 4, 4), "Last": Factory.of(last, 4, 3)})


def refusal(assignment: Assignment, pool, kind: type[AntiphonError] = ExperimentError) -> str:
    with pytest.raises(kind) as caught:
        RayExecutor(assignment, "refused", pool=pool)
    assert type(caught.value) is kind
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def on_workers(grammar: Grammar, agents=None) -> Assignment:
    return assign(grammar, agents, placement=spread(grammar))


def has(text: str, *parts: str) -> bool:
    return "Traceback" not in text and not [part for part in parts if part not in text]


def test_a_module_that_only_the_driver_can_import_is_refused_with_its_player(beside, pool):
    beside(NET)
    text = refusal(on_workers(grammar_of(net("beside_the_driver"))), pool)
    assert has(text, "the coordinator on machine", "player 'Last'", "No module named 'beside_the_driver'", "PYTHONPATH")


def test_a_module_that_fails_to_import_on_a_worker_is_refused_with_the_worker(importable, tmp_path, pool):
    (tmp_path / "present").mkdir()
    (importable / "fragile_module.py").write_text(FRAGILE.format(place=str(tmp_path / "present")))
    text = refusal(on_workers(grammar_of(net("fragile_module"))), pool)
    assert has(text, "worker '", "on machine", "player 'Last'", "RuntimeError: no third process", "on every machine")


class Locked(nn.Linear):
    lock = threading.Lock()


def test_code_that_cannot_be_sent_is_refused_with_its_player(pool, monkeypatch):
    monkeypatch.setattr(Locked, "__module__", "__main__")  # as if a script had defined it
    text = refusal(on_workers(grammar_of(Locked)), pool)
    assert has(text, "player 'Last'", "cannot be sent to a worker", "'_thread.lock'", "can be pickled")


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        ("class Net(", "SyntaxError: '(' was never closed (beside_the_driver.py, line 1)"),
        ("", "AttributeError: Can't get attribute 'Net'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_whatever_a_module_raises_is_told(beside, later, reason):
    beside(NET)
    parts = pickled(on_workers(grammar_of(net("beside_the_driver"))))
    assert not unreadable(parts)
    beside(later)
    assert has(unreadable(parts), "player 'Last'", reason)


@pytest.mark.parametrize("name", ["beside_the_driver:Descent", "__main__:Descent"])
def test_an_agent_that_a_worker_cannot_import_is_refused_with_player_and_worker(beside, pool, monkeypatch, name):
    beside("from rigs.agents import Momentum as Descent")
    monkeypatch.setattr(sys.modules["__main__"], "Descent", Momentum, raising=False)
    agents = {"Last": AgentSpecification.of(agent=name)}
    text = refusal(on_workers(grammar_of(nn.Linear), agents), pool)
    assert has(text, f"agent {name!r}", "Error: ", "on every worker", "'Last' was made or loaded on worker 'Last'")


def test_an_environment_that_is_registered_only_in_the_driver_is_refused_with_oracle_and_worker(pool):
    gymnasium.register("OnlyHere-v0", "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=5)
    try:
        world = nature("OnlyHere-v0", envs=2, batch=4, capacity=8, warmup=0)
        critic, deviator = (Factory.of(StateAction, 3, 1, 1, (4,)) for _ in range(2))
        noise = gaussian((1,), batch=2, symbol="envs", scale=0.3)
        grammar = dac(world, noise, Factory.of(Policy, 3, 1, (4,)), critic, deviator, learn_from=1)
        InlineExecutor(assign(grammar)).close()
        text = refusal(on_workers(grammar), pool, OracleError)
    finally:
        del gymnasium.registry["OnlyHere-v0"]
    assert has(text, "environment 'OnlyHere-v0' cannot be made", "'module:id'", "'Nature' was made", "worker 'Nature'")


def test_in_one_process_an_agent_that_does_not_import_is_refused_with_its_player():
    agents = {"Last": AgentSpecification.of(agent="nowhere_at_all:Descent")}
    with pytest.raises(ExperimentError) as caught:
        InlineExecutor(assign(grammar_of(nn.Linear), agents))
    text = "\n".join([str(caught.value), *caught.value.__notes__])
    assert has(text, "agent 'nowhere_at_all:Descent'", "No module named 'nowhere_at_all'", "'module:name'", "'Last'")
