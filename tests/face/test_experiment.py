"""Experiments: what ships is valid, what is written reads back, how agents' tables add up."""

import random
import tomllib

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from antiphon.errors import ExperimentError
from antiphon.experiments.load import checked, parse_change, read_experiment
from antiphon.experiments.shipped import shipped
from antiphon.experiments.toml_io import toml, with_none
from antiphon.recipes.common.spelling import BareWord
from antiphon.recipes.common.tables import AgentTable
from antiphon.runs.run import resolved

keys = st.text(max_size=5)
plain = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(max_size=5)
)
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


@given(st.dictionaries(keys, values, max_size=4))
def test_what_is_written_as_toml_reads_back(table):
    assert with_none(tomllib.loads(toml(table))) == table


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_experiment_survives_being_written(name):
    experiment = read_experiment(name)
    grammar = experiment.build()
    again = checked(tomllib.loads(toml(resolved(experiment, grammar))), name)
    assert again.build() == grammar
    assert again.agents(grammar) == experiment.agents(grammar)
    assert resolved(again, grammar) == resolved(experiment, grammar)


@given(values)
def test_a_change_spelled_as_in_toml_or_in_python_is_the_value(value):
    written = toml({"key": [value]}).removeprefix("key = ")
    assert with_none(parse_change(f"a.b={written}")[1]) == [value]
    if "\\" not in repr(value):  # TOML goes first, and has no escapes in single quotes
        assert parse_change(f"a.b={[value]!r}") == ("a.b", [value])


SPELLINGS = {
    **{"1": 1, "-3": -3, "1e-3": 0.001, ".5": 0.5, "inf": float("inf"), "-inf": float("-inf"), "0x10": 16},
    **{"true": True, "True": True, "false": False, "False": False, "None": None, "[True, None]": [True, None]},
    **{"(1, 2)": [1, 2], "[64, 64]": [64, 64], '"x"': "x", "'x'": "x", "{a = 1}": {"a": 1}, "{'a': 1}": {"a": 1}},
}
BARE = [
    "Pendulum-v1",
    "mine:Agent",
    "x=y",
    "a/b.c",
    "",
    "TRUE",
    "yes",
    "null",
    "1,",
    "1 2",
    "5 # five",
    "1\nb = 2",
    "1+2j",
]


def test_spellings_of_values_and_words_without_quotes():
    assert {text: parse_change(f"a={text}")[1] for text in SPELLINGS} == SPELLINGS
    assert [parse_change(f"a={text}")[1] for text in BARE] == list(map(BareWord, BARE))
    assert {type(parse_change(f"a={text}")[1]) for text in BARE} == {BareWord}


UNTYPED = {
    "backprop": ["agent.arguments.nesterov", "agent.scheduler_arguments.T_max", "players.Dense1.arguments.lr",
                 "backprop.data_arguments.size", "placement.of.Dense1.remote_agent.runtime_env.pip"],
    "dac": ["dac.keywords.render_mode"],
    "temporal-difference": ["temporal_difference.process_arguments.pay"],
    "mine:grammar": ["arguments.width"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in UNTYPED.items() for key in keys])
def test_untyped_tables_take_values_and_refuse_bare_words_by_name(name, key):
    with pytest.raises(ExperimentError, match=rf"key '{key}' .*'\"Flase\"'.*the bare word 'Flase'"):
        read_experiment(name, [f"{key}=Flase"])
    for text, value in {"False": False, "false": False, "None": None, "'Flase'": "Flase", "1e-3": 0.001}.items():
        found = read_experiment(name, [f"{key}={text}"]).model_dump()
        for part in key.split("."):
            found = found[part]
        assert found is value or found == value


@pytest.mark.parametrize(
    ("change", "expected", "arrived"),
    [
        *[(f"rounds={text}", "a whole number", text.strip('"')) for text in ('"3"', "3.0", "true", "None", "many")],
        *[(f"deadline={text}", "number", text.strip('"')) for text in ('"3"', "inf", "nan", "0", "-1", "True")],
        *[(f"backprop.dropout={text}", "number", text) for text in ("inf", "nan", "-0.1", "half")],
        *[(f"placement.logical_gpus={text}", "true or false", text.strip('"')) for text in ('"yes"', "yes", "1", "0")],
        ("agent.optimizer=3", "a string", "3"),
        ("rounds.more=3", "a table", "2000"),
    ],
)
def test_typed_keys_convert_nothing(change, expected, arrived):
    with pytest.raises(ExperimentError) as caught:
        read_experiment("backprop", [change])
    text = str(caught.value).lower()
    assert repr(change.partition("=")[0]) in str(caught.value) and expected in text and arrived.lower() in text


def test_none_survives_being_written(tmp_path):
    changes = ["agent.scheduler=StepLR", "agent.scheduler_arguments.step_size=5", "players.Dense1.scheduler=None"]
    experiment = read_experiment("backprop", [*changes, "players.Output.arguments.foreach=None"])
    grammar = experiment.build()
    path = tmp_path / "again.toml"
    path.write_text(toml(resolved(experiment, grammar)))
    again = read_experiment(str(path))
    assert again.agents(grammar) == experiment.agents(grammar)
    assert again.agents(grammar)["Dense1"].scheduler is None
    assert dict(again.agents(grammar)["Output"].arguments)["foreach"] is None
    assert again.agents(grammar)["Output"].scheduler == "StepLR"


def test_a_players_table_merges_arguments_key_by_key():
    common = AgentTable(arguments={"lr": 0.1, "eps": 1e-6}, clip_norm=1.0)
    own = common.overridden(AgentTable(arguments={"lr": 0.2}, every=2))
    assert own.specification().description == "Adam(eps=1e-06, lr=0.2), norm <= 1.0, every 2 rounds"


def test_another_optimizer_brings_its_own_arguments():
    common = AgentTable(arguments={"betas": [0.5, 0.9]}, clip_norm=1.0)
    assert common.overridden(AgentTable(optimizer="SGD", arguments={"lr": 0.2})).specification().description == (
        "SGD(lr=0.2), norm <= 1.0"
    )


def test_another_agent_brings_everything_but_the_cadence():
    common = AgentTable(arguments={"lr": 0.1}, clip_norm=1.0, every=3)
    own = common.overridden(AgentTable(agent="mine:Agent"))
    assert own.specification().description == "mine:Agent(), every 3 rounds"


def test_a_table_over_itself_changes_nothing():
    common = AgentTable(arguments={"lr": 0.1}, clip_norm=1.0, every=3)
    own = common.overridden(AgentTable(optimizer="SGD", arguments={"lr": 0.2}))
    again = common.overridden(AgentTable(**own.model_dump(exclude_none=True)))
    assert again == own


DRAWN_DATA = """
import antiphon, numpy, random, torch

def game():
    x = torch.randn(8, 3) + random.random()
    y = torch.from_numpy(numpy.random.rand(8) < 0.5).long()
    return antiphon.backprop(antiphon.arrays(x, y, batch=4), {"A": antiphon.Factory.of(torch.nn.Linear, 3, 2)})
"""


def test_a_function_that_draws_its_data_makes_the_same_grammar_every_time(tmp_path, monkeypatch):
    (tmp_path / "drawn_data.py").write_text(DRAWN_DATA)
    monkeypatch.syspath_prepend(str(tmp_path))
    experiment = read_experiment("drawn_data:game")
    first, _ = experiment.build(), (torch.rand(1), np.random.rand(), random.random())
    assert experiment.build() == first
