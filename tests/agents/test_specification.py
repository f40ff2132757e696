"""AgentSpecification: a value that says how a player optimizes, and refuses early what cannot be."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from antiphon.agents import AgentSpecification, TorchAgent
from antiphon.errors import AgentError, ExperimentError
from antiphon.grammars.cadence import Cadence

SCHEDULED = AgentSpecification.of(
    "SGD",
    {"momentum": 0.9, "lr": 0.1},
    clip_norm=1.0,
    clip_value=0.5,
    scheduler="MultiStepLR",
    scheduler_arguments={"milestones": [3, 6]},
    cadence=Cadence(every=2, start=4),
)


class Mute:
    def __init__(self, parameters: object) -> None:
        pass

    def hear(self, response: object) -> None:
        pass

    def move(self) -> None:
        pass


class Picky:
    def __init__(self, parameters: object, rate: float) -> None:
        if rate > 1:
            raise ValueError("too fast")


def test_is_a_value():
    again = AgentSpecification.of(
        "SGD",
        {"lr": 0.1, "momentum": 0.9},
        clip_norm=1.0,
        clip_value=0.5,
        scheduler="MultiStepLR",
        scheduler_arguments={"milestones": (3, 6)},
        cadence=Cadence(every=2, start=4),
    )
    assert again == SCHEDULED and hash(again) == hash(SCHEDULED) and eval(repr(again)) == SCHEDULED
    assert pickle.loads(pickle.dumps(SCHEDULED)) == SCHEDULED
    assert AgentSpecification() != SCHEDULED


def test_describes_itself_in_one_line():
    assert AgentSpecification().description == "Adam()"
    assert AgentSpecification.of(agent="mine:Agent", arguments={"rate": 0.1}).description == "mine:Agent(rate=0.1)"
    assert SCHEDULED.description == (
        "SGD(lr=0.1, momentum=0.9), norm <= 1.0, elements <= 0.5, MultiStepLR(milestones=(3, 6)), every 2 rounds, "
        "from round 4"
    )


def test_makes_the_torch_agent_on_the_parameters_themselves():
    parameter = torch.zeros(3)
    agent = SCHEDULED.make("x", [parameter])
    agent.hear([torch.full((3,), 9.0)])
    (moved,) = agent.move()
    assert isinstance(agent, TorchAgent) and moved is parameter
    assert torch.equal(parameter, torch.full((3,), -0.05))  # each element clipped to 0.5, the norm then 0.87 < 1


def test_makes_an_agent_named_by_module_and_class(momentum: type, named: Callable[[type], str]):
    agent = AgentSpecification.of(agent=named(momentum), arguments={"rate": 0.5}).make("x", [torch.zeros(1)])
    agent.hear([torch.ones(1)])
    assert type(agent) is momentum and torch.equal(agent.move()[0], torch.tensor([-0.5]))


def test_makes_an_agent_named_by_an_entry_point(
    refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, momentum: type
):
    information = tmp_path / "choir-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: choir\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[antiphon.agents]\nswinging = {momentum.__module__}:Momentum\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert type(AgentSpecification(agent="swinging").make("x", [torch.zeros(1)])) is momentum
    told = refusal(ExperimentError, lambda: AgentSpecification(agent="swining").make("x", [torch.zeros(1)]))
    for part in (
        "no agent is called 'swining'",
        "expected one of 'torch'",
        "'hedge'",
        "'swinging'",
        "Did you mean 'swinging'",
        "'antiphon.agents'",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        (
            {"optimizer": "Adan"},
            "torch.optim has no optimizer 'Adan' for players; expected 'Adam' or 'RAdam' or 'NAdam'. Correct the name.",
        ),
        (
            {"arguments": {"beta": 0.9}},
            "optimizer 'Adam' takes no argument 'beta'; expected some of lr, betas, eps, weight_decay, amsgrad, "
            "foreach, maximize, capturable, differentiable, fused, decoupled_weight_decay. Remove or rename it.",
        ),
        (
            {"arguments": {"lr": torch.tensor(1.0)}},
            "argument 'lr' of agent 'torch' takes a number, string, boolean, None or a tuple of these, and a Tensor "
            "arrived. Use AgentSpecification.of for lists; objects are made by the agent itself.",
        ),
        (
            {"scheduler_arguments": {"gamma": 0.1}},
            "an agent without a scheduler was given scheduler_arguments {'gamma': 0.1}; expected none. "
            "Name the scheduler, or leave them out.",
        ),
        (
            {"agent": "mine:Agent", "optimizer": "SGD", "clip_norm": 1.0},
            "agent 'mine:Agent' was given optimizer, clip_norm; expected arguments of its own alone. "
            "Pass what it takes as arguments, or use agent 'torch'.",
        ),
    ],
)
def test_refuses_before_anything_starts(refusal, keywords: dict[str, Any], text: str):
    assert refusal(ExperimentError, lambda: AgentSpecification.of(**keywords)) == text


def test_refuses_a_class_that_does_not_import(refusal):
    assert refusal(ExperimentError, lambda: AgentSpecification(agent="no_such_choir:Alto").make("x", [])) == (
        "agent 'no_such_choir:Alto' does not import: ModuleNotFoundError: No module named 'no_such_choir'. "
        "Expected 'module:name', importable from here and on every worker; correct the name or the path."
    )
    assert refusal(ExperimentError, lambda: AgentSpecification(agent="math:Alto").make("x", [])) == (
        "agent 'math:Alto' does not import: AttributeError: module 'math' has no attribute 'Alto'. "
        "Expected 'module:name', importable from here and on every worker; correct the name or the path."
    )
    assert refusal(ExperimentError, lambda: AgentSpecification(agent="math:pi").make("x", [])) == (
        "agent 'math:pi' is a float; expected a function or a class. To mend it, correct the name or the path."
    )


def test_refuses_a_class_that_lacks_methods(refusal, named: Callable[[type], str]):
    assert refusal(AgentError, lambda: AgentSpecification(agent=named(Mute)).make("x", [])) == (
        f"agent {named(Mute)!r} of player 'x' is a Mute without state, load; expected hear, move, state, load. "
        "Write them, and run antiphon.testing.check_agent on the class."
    )


def test_refuses_an_agent_that_cannot_be_built(refusal, named: Callable[[type], str]):
    picky = AgentSpecification.of(agent=named(Picky), arguments={"rate": 2.0})
    assert refusal(AgentError, lambda: picky.make("x", [])) == (
        f"agent {named(Picky)!r} of player 'x' cannot be built as {named(Picky)}(rate=2.0): ValueError: too fast. "
        "Expected Agent(parameters, **arguments); correct the arguments."
    )


def test_muon_is_refused_for_what_is_no_matrix(refusal):
    text = refusal(AgentError, lambda: AgentSpecification("torch", "Muon").make("x", [torch.zeros(3)]))
    assert "player 'x'" in text and "matrices only" in text and "(3,)" in text and "without bias" in text


class Topmost(Mute): ...


def test_a_class_is_named_where_workers_can_find_it(refusal, named):
    assert AgentSpecification.of(agent=Topmost).agent == named(Topmost)
    assert AgentSpecification.of(agent=named(Topmost)) == AgentSpecification.of(agent=Topmost)

    class Inside(Mute): ...

    for hidden in (Inside, lambda parameters: Mute(parameters)):
        text = refusal(ExperimentError, lambda hidden=hidden: AgentSpecification.of(agent=hidden))
        assert hidden.__qualname__ in text and "'module:Class'" in text and "top level" in text


@pytest.mark.parametrize("value", [3, Topmost(()), None])
def test_agents_are_told_by_name_or_are_classes(refusal, value):
    assert "'agent'" in refusal(ExperimentError, lambda: AgentSpecification.of(agent=value))


def test_numbers_of_numpy_are_numbers():
    specification = AgentSpecification.of("Adam", {"lr": np.float64(0.5), "betas": [np.float32(0.5), 0.75]})
    assert specification == AgentSpecification.of("Adam", {"lr": 0.5, "betas": (0.5, 0.75)})
    assert all(type(value) is not np.float64 for _, value in specification.arguments)


MISTAKEN = {
    "a boolean": [("SGD", {"nesterov": "False", "momentum": 0.9}), ("SGD", {"nesterov": 0}), ("Adam", {"amsgrad": 1}),
                  ("Adam", {"foreach": "None"}), ("AdamW", {"maximize": None}), ("Adagrad", {"fused": "true"})],
    "a number": [("SGD", {"momentum": True, "lr": 0.1}), ("Adam", {"lr": "0.1"}), ("Adam", {"lr": None}),
                 ("Adam", {"lr": False}), ("Rprop", {"lr": "fast"})],
    "a list": [("Adam", {"betas": "0.9, 0.99"}), ("Adam", {"betas": 0.9}), ("Rprop", {"etas": None})],
}  # fmt: skip


@pytest.mark.parametrize(("optimizer", "arguments"), [case for cases in MISTAKEN.values() for case in cases], ids=str)
def test_arguments_of_another_type_are_refused_where_torch_takes_them_silently(refusal, optimizer, arguments):
    (name, value), *_ = arguments.items()
    text = refusal(ExperimentError, lambda: AgentSpecification.of(optimizer, arguments))
    assert repr(optimizer) in text and repr(name) in text and repr(value) in text


@pytest.mark.parametrize("value", [2.5, "2", True, None])
def test_schedulers_take_whole_numbers_where_they_count(refusal, value):
    scheduled = {"scheduler": "StepLR", "scheduler_arguments": {"step_size": value}}
    text = refusal(ExperimentError, lambda: AgentSpecification.of("Adam", **scheduled))
    assert "'StepLR'" in text and "'step_size'" in text and "a whole number" in text and repr(value) in text
