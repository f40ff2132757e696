"""Checkpoints: what is written is what continues; what is damaged is refused."""

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from random import Random
from typing import NamedTuple
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.checkpoint import (
    MANIFEST,
    Entry,
    Labels,
    Manifest,
    Writer,
    check_origin,
    cut,
    load_states,
    read_manifest,
    write_manifest,
)
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.coordinator.storage import folder_at
from antiphon.coordinator.versions import versions
from antiphon.errors import ExperimentError
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import backprop
from antiphon.grammars.states import same_states
from rigs.checkpoints import write_checkpoint
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
    assert write_checkpoint(tmp_path, {"A": STATE, "B~": {}}).names == ("A", "B~")
    assert same(load_states(tmp_path), {"A": STATE, "B~": {}})


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
def test_what_would_come_back_as_something_else_is_refused_by_name(value, refusal):
    states = {"First": STATE, "Second": {"deep": [{7: value}]}}
    text = refusal(ExperimentError, lambda: cut(states))
    assert "'Second'" in text and "expected dense tensors, numbers" in text and "Convert it" in text
    assert "deep/0/7" in text or "contain themselves" in text


def test_names_and_keys_may_be_anything(tmp_path):
    one, two = torch.ones(1), torch.zeros(1)
    states = {"a/b": {"x/y": one, "x": {"y": two}}, "ä ~@#.": {"": one}, "..": {"x": two}}
    write_checkpoint(tmp_path / "here", states)
    assert same(load_states(tmp_path / "here"), states)
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
        manifest = executor.begin_save(tmp_path, Labels("e" * 64, {"loss": 0.5})).result()
        assert read_manifest(tmp_path) == manifest
        own = (manifest.signature, manifest.round, manifest.seed, manifest.names)
        assert own == (executor.assignment.grammar.signature, 2, 3, tuple(executor.states()))
    assert {"First", "Norm", "Last", "Last@agent", "Nature"} <= set(manifest.names)
    assert (manifest.experiment, manifest.metrics, manifest.versions) == ("e" * 64, {"loss": 0.5}, versions())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert found.keys() == {*manifest.files, MANIFEST}
    assert all(found[name] == each.sha256 for name, each in manifest.files.items())


def test_a_checkpoint_holds_the_round_at_which_it_was_begun(tmp_path):
    with InlineExecutor(assignment()) as executor:
        executor.play(3)
        expected = executor.states()
        written = executor.begin_save(tmp_path)
        executor.play(5)
        assert written.result().round == 3
    assert same(load_states(tmp_path), expected)


def test_saving_leaves_the_run_as_it_was(tmp_path):
    with InlineExecutor(assignment()) as one, InlineExecutor(assignment()) as two:
        one.play(3)
        one.save(tmp_path)
        one.play(3)
        two.play(6)
        assert same(one.states(), two.states())


class Interrupted(OSError):
    pass


def test_a_checkpoint_that_is_being_written_over_is_none(tmp_path, refusal, monkeypatch):
    with InlineExecutor(assignment()) as executor:
        executor.save(tmp_path)
        monkeypatch.setattr(Writer, "write", Mock(side_effect=Interrupted))
        with pytest.raises(Interrupted):
            executor.save(tmp_path)
    refusal(ExperimentError, lambda: read_manifest(tmp_path))


def large(rows: int) -> dict:
    """The state of a replay memory of this many rows: 5 MiB at 10 000."""
    memory = torch.arange(rows * 131, dtype=torch.float32).view(rows, 131)
    return {"Nature": {"rows": memory, "few": torch.ones(rows)}}


def test_of_a_memory_that_grows_only_new_blocks_are_written(tmp_path):
    writer = Writer()
    write_checkpoint(tmp_path / "one", large(9_000), writer)
    write_checkpoint(tmp_path / "two", large(10_000), writer)
    assert same(load_states(tmp_path / "two"), large(10_000))
    blocks = [path for path in (tmp_path / "two").iterdir() if path.name.startswith("Nature~")]
    assert sum(path.stat().st_nlink == 1 for path in blocks) == 1 < len(blocks) == 5
    shutil.rmtree(tmp_path / "one")
    assert same(load_states(tmp_path / "two"), large(10_000))


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_checkpoint_may_lie_at_any_address(tmp_path, scheme, refusal):
    place, writer = f"{scheme}://{tmp_path}/here", Writer()
    write_checkpoint(f"{place}/1", large(9_000), writer)
    manifest = write_checkpoint(f"{place}/2", {**large(10_000), "A": STATE}, writer)
    folder_at(f"{place}/1").remove()
    assert same(load_states(f"{place}/2"), {**large(10_000), "A": STATE})
    folder_at(f"{place}/2").discard(max(manifest.files))
    assert f"without file {max(manifest.files)!r}" in refusal(ExperimentError, lambda: load_states(f"{place}/2"))


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory) -> Path:
    """An older and a newer checkpoint of one run, with a large memory."""
    place, writer = tmp_path_factory.mktemp("checkpoints"), Writer()
    for name, add in (("old", 0.0), ("new", 1.0)):
        memory = {"rows": torch.full((300, 2000), add), "few": torch.tensor(add), "at": int(add)}
        write_checkpoint(place / name, {"A": {**STATE, "add": torch.tensor(add), "at": add}, "Nature": memory}, writer)
    return place


FILES = "manifest.json", "A.json", "A.safetensors", "Nature.json", "Nature.safetensors", "block"


@pytest.fixture(params=FILES)
def harmed(request, two_checkpoints, tmp_path) -> Path:
    """A file of a copy of the newer checkpoint."""
    shutil.copytree(two_checkpoints / "new", tmp_path / "new")
    name = request.param
    return max((tmp_path / "new").glob("Nature~*")) if name == "block" else tmp_path / "new" / name


def refused(file: Path) -> str:
    """The text of the error with which the checkpoint of this file is refused."""
    with pytest.raises(ExperimentError) as caught:
        load_states(file.parent)
    assert repr(str(file.parent)) in str(caught.value) and "xpected" in str(caught.value)
    assert "Use another checkpoint" in str(caught.value) or "use another" in str(caught.value) or file.name == MANIFEST
    return str(caught.value)


def test_any_flipped_bit_is_found(harmed):
    whole = harmed.read_bytes()
    random = Random(0)
    for bit in {0, 8 * len(whole) - 1, *(random.randrange(8 * len(whole)) for _ in range(30))}:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        harmed.write_bytes(data)
        text = refused(harmed)
        assert harmed.name in text
    harmed.write_bytes(whole)
    load_states(harmed.parent)


@pytest.mark.parametrize("harm", ["truncate", "grow", "remove", "older", "link", "pipe", "folder"])
def test_a_file_that_is_not_the_one_that_was_written_is_refused(harmed, two_checkpoints, harm):
    whole = harmed.read_bytes()
    harmed.unlink()
    match harm:
        case "truncate":
            harmed.write_bytes(whole[:-9])
        case "grow":
            harmed.write_bytes(whole + b" ")
        case "older":
            shutil.copyfile(two_checkpoints / "old" / harmed.name, harmed)
        case "link":
            (harmed.parent.parent / "elsewhere").write_bytes(whole)
            harmed.symlink_to(harmed.parent.parent / "elsewhere")
        case "pipe":
            os.mkfifo(harmed)
        case "folder":
            harmed.mkdir()
    # A whole manifest of another checkpoint is right by itself: the first file that it does not know is named.
    assert (harmed.name in refused(harmed)) == ((harm, harmed.name) != ("older", MANIFEST))


def test_a_foreign_file_is_refused(two_checkpoints, tmp_path):
    shutil.copytree(two_checkpoints / "new", tmp_path / "new")
    (tmp_path / "new" / "B.json").write_text("{}")
    assert "with the foreign file 'B.json'" in refused(tmp_path / "new" / "B.json")


ODD = ["", "[]", "null", "{}", "3", '"a"', "[" * 100_000, "{" * 9, "nan", "1" * 5000, '{"a":' * 50_000, "\x00\xff"]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_json_of_any_other_form_is_refused(two_checkpoints, tmp_path, text):
    """Also if the manifest agrees with it: then somebody has made it so."""
    shutil.copytree(two_checkpoints / "new", tmp_path / "new")
    (tmp_path / "new" / "A.json").write_text(text)
    manifest, data = read_manifest(tmp_path / "new"), text.encode()
    entry = Entry(len(data), hashlib.sha256(data).hexdigest())
    write_manifest(tmp_path / "new", replace(manifest, files={**manifest.files, "A.json": entry}))
    assert "'A'" in refused(tmp_path / "new" / "A.json")
    (tmp_path / "new" / MANIFEST).write_text(text)
    refused(tmp_path / "new" / MANIFEST)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from([field.name for field in fields(Manifest)]), VALUES)
def test_a_manifest_of_other_types_is_refused_or_is_a_manifest(two_checkpoints, key, value):
    """With a digest that is right, so that the types decide."""
    place = two_checkpoints / "typed"
    shutil.copytree(two_checkpoints / "new", place, dirs_exist_ok=True)
    found = json.loads((place / MANIFEST).read_text())
    found["manifest"][key] = value
    found["digest"] = hashlib.sha256(json.dumps(found["manifest"], sort_keys=True).encode()).hexdigest()
    (place / MANIFEST).write_text(json.dumps(found, indent=1))
    with suppress(ExperimentError):
        load_states(place)


@pytest.mark.parametrize("key", ["signature", "seed", "round", "experiment"])
def test_a_checkpoint_of_another_run_is_refused(two_checkpoints, key, refusal):
    manifest = read_manifest(two_checkpoints / "new")
    own = {each: getattr(manifest, each) for each in ("signature", "seed", "round", "experiment")}
    check_origin(two_checkpoints / "new", manifest, **own)
    text = refusal(ExperimentError, lambda: check_origin(two_checkpoints / "new", manifest, **{**own, key: "another"}))
    assert f"expected {key} 'another', found {own[key]!r}" in text
