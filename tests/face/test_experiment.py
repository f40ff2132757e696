"""Experiments: what ships is valid, what is written reads back, how agents' tables add up."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.reading import checked, parse_change, read_experiment, shipped
from antiphon.run import resolved
from antiphon.tables import AgentTable
from antiphon.toml_text import toml

keys = st.text(max_size=5)
plain = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(max_size=5))
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


@given(st.dictionaries(keys, values, max_size=4))
def test_what_is_written_as_toml_reads_back(table):
    assert tomllib.loads(toml(table)) == table


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_experiment_survives_being_written(name):
    experiment = read_experiment(name)
    grammar = experiment.build()
    again = checked(tomllib.loads(toml(resolved(experiment, grammar))), name)
    assert again.build() == grammar
    assert again.agents(grammar) == experiment.agents(grammar)
    assert resolved(again, grammar) == resolved(experiment, grammar)


def test_a_change_is_toml_or_else_a_string():
    texts = ["a=1", "a.b=[1, 2]", "a=true", 'a="x"', "a=Pendulum-v1", "a=x=y"]
    assert [parse_change(text) for text in texts] == [
        ("a", 1),
        ("a.b", [1, 2]),
        ("a", True),
        ("a", "x"),
        ("a", "Pendulum-v1"),
        ("a", "x=y"),
    ]


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
