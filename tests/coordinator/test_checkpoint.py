"""Checkpoints: what is written is what continues; what is damaged is refused."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.checkpoint import (
    MANIFEST,
    Manifest,
    load_states,
    read_manifest,
    save_states,
    write_manifest,
)
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.errors import ExperimentError
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import backprop
from antiphon.grammars.states import same_states
from rigs.games import Dense, points

STATE = {
    "tensors": {"weight": torch.randn(3, 2), "count": torch.tensor(3), "none": torch.empty(0, 2)},
    "view": torch.arange(6.0).view(2, 3).T,
    "list": [torch.ones(2), {"deep": torch.zeros(1, dtype=torch.bool)}],
    "keys": {1: "one", (2, "a"): torch.ones(2), None: [()], 0.5: {"$tensor": "a string"}, False: -0.0},
    "tuples": (1, (torch.arange(3), [2, (3,)])),
    "complex": [torch.randn(3, 2, dtype=dtype) for dtype in (torch.complex64, torch.complex128)],
    "scalar": torch.tensor(1j, dtype=torch.complex128),
    "plain": {"rate": 0.1, "big": 2**62, "name": "α", "flag": True, "nothing": None, "empty": {}, "far": float("inf")},
}


same = same_states


def assignment() -> Assignment:
    layers = {
        "First": Factory.of(Dense, 4, 5, 0.5),
        "Norm": Factory.of(nn.BatchNorm1d, 5),
        "Drop": Factory.of(nn.Dropout, 0.3),
        "Last": Factory.of(nn.Linear, 5, 3),
    }
    grammar = backprop(points(4), layers)
    agents = {
        "First": AgentSpecification.of("SGD", {"lr": 0.1, "momentum": 0.9}),
        "Norm": AgentSpecification.of("Adam", scheduler="StepLR", scheduler_arguments={"step_size": 3}),
        "Last": AgentSpecification.of("NAdam"),
    }
    return assign(grammar, agents, placement=spread(grammar, agents={"Last": "far"}), seed=3)


def restored(folder: Path) -> InlineExecutor:
    executor = InlineExecutor(assignment())
    manifest = read_manifest(folder)
    executor.load(load_states(folder, manifest.names), manifest.round)
    return executor


def test_states_come_back_to_the_last_bit(tmp_path):
    assert save_states(tmp_path, {"A": STATE, "B~": {}}) == ("A", "B~")
    found = load_states(tmp_path, ["A", "B~"])
    assert same(found, {"A": STATE, "B~": {}})


def endless() -> list:
    found: list = []
    found.append(found)
    return found


class Pair(NamedTuple):
    one: int


@pytest.mark.parametrize(
    "value",
    [
        *(object(), b"bytes", np.ones(2), np.float32(1.0), np.int64(3), {1, 2}, Pair(1), endless(), torch.float32),
        *(torch.eye(2).to_sparse(), StepOrder.GPIPE, range(3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_come_back_as_something_else_is_refused_by_name(tmp_path, value, refusal):
    states = {"First": STATE, "Second": {"deep": [{7: value}]}}
    text = refusal(ExperimentError, lambda: save_states(tmp_path / "here", states))
    assert "'Second'" in text and "expected dense tensors, numbers" in text and "Convert it" in text
    assert "deep/0/7" in text or "contain themselves" in text
    assert not (tmp_path / "here").exists()


def test_names_and_keys_may_be_anything(tmp_path):
    one, two = torch.ones(1), torch.zeros(1)
    states = {"a/b": {"x/y": one, "x": {"y": two}}, "ä ~@#.": {"": one}, "..": {"x": two}}
    save_states(tmp_path / "here", states)
    assert same(load_states(tmp_path / "here", states), states)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_run_continues_bitwise_from_its_checkpoint(tmp_path):
    with InlineExecutor(assignment()) as whole:
        whole.play(7)
        whole.save(tmp_path)
        expected = whole.play(9).losses
        with restored(tmp_path) as later:
            assert later.round == 7
            assert same(later.play(9).losses, expected)
            assert same(later.states(), whole.states())


def test_a_manifest_says_what_the_checkpoint_is_of(tmp_path):
    with InlineExecutor(assignment()) as executor:
        executor.play(2)
        executor.save(tmp_path)
        manifest = read_manifest(tmp_path)
        assert manifest == Manifest(executor.assignment.grammar.signature, 2, 3, tuple(executor.states()))
    assert {"First", "Norm", "Last", "Last@agent", "Nature"} <= set(manifest.names)
    assert not list(tmp_path.glob("*.part"))


def test_saving_leaves_the_run_as_it_was(tmp_path):
    with InlineExecutor(assignment()) as one, InlineExecutor(assignment()) as two:
        one.play(3)
        one.save(tmp_path)
        one.play(3)
        two.play(6)
        assert same(one.states(), two.states())


def test_a_checkpoint_that_is_being_written_over_is_none(tmp_path, refusal):
    write_manifest(tmp_path, Manifest("0" * 64, 3, 0, ("A",)))
    save_states(tmp_path, {"A": STATE})
    refusal(ExperimentError, lambda: read_manifest(tmp_path))


@pytest.mark.parametrize(
    "content, found",
    [
        (None, "FileNotFoundError"),
        ("{", "JSONDecodeError"),
        ("{}", "KeyError"),
        ("[]", "TypeError"),
    ],
)
def test_a_folder_without_a_whole_manifest_is_refused(tmp_path, content, found, refusal):
    if content is not None:
        (tmp_path / MANIFEST).write_text(content)
    assert refusal(ExperimentError, lambda: read_manifest(tmp_path)) == (
        f"{str(tmp_path)!r} is no complete checkpoint: expected a readable manifest.json, found {found}. "
        "Name a checkpoint folder of a run."
    )


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def forget(path: Path) -> None:
    content = json.loads(path.read_text())
    content["view"]["$tensor"] = "lost"
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "ending, harm", [(".safetensors", truncate), (".json", truncate), (".safetensors", Path.unlink), (".json", forget)]
)
def test_a_damaged_state_is_refused(tmp_path, ending, harm, refusal):
    save_states(tmp_path, {"A": STATE})
    harm(tmp_path / f"A{ending}")
    text = refusal(ExperimentError, lambda: load_states(tmp_path, ["A"]))
    assert text.startswith(f"the state of 'A' in checkpoint {str(tmp_path)!r} cannot be read: ")
    assert text.endswith(". Expected the two files that the checkpoint was written with; use another checkpoint.")
