"""Placements as tables: what they say, what they refuse, where they come from, and that a run can be repeated."""

import json
import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

import antiphon
from antiphon.cli.progress import casting
from antiphon.coordinator.plan.placement import (
    Placement,
    Precision,
    Strategy,
    WorkerResources,
    hosted,
    spread,
    together,
)
from antiphon.errors import ExperimentError, PlacementError
from antiphon.experiments.load import checked, read_experiment
from antiphon.experiments.placement_table import PlacementTable, PlaceTable, RemoteAgentTable
from antiphon.experiments.placements import machines
from antiphon.experiments.toml_io import toml
from antiphon.pictures.gallery import PLACEMENT
from antiphon.runs.run import resolved

FULL = """
strategy = "spread"
fuse = [["Actor", "Deviator"]]
logical_gpus = true

[of.Actor]
num_gpus = 0.25
resources = { fast = 1, wide = 0.5 }

[of.Deviator]
num_cpus = 1
num_gpus = 0.25
resources = { fast = 2 }
node = { "ray.io/zone" = "a" }

[of.Critic]
num_cpus = 2
num_gpus = 1
replicas = 3
sharded = true
accept_batch_coupling = true
precision = "bfloat16"
remote_agent = { num_cpus = 1, runtime_env = { env_vars = { RATE = "1" } } }

[of.Nature]
node = "10.0.0.1"
"""
ROOMS = {
    "Nature": WorkerResources(node="10.0.0.1"),
    "Actor": WorkerResources(1, 0.5, (("fast", 3), ("wide", 0.5)), (("ray.io/zone", "a"),)),
    "Critic": WorkerResources(2, 1),
    "Critic.agent": WorkerResources(1, runtime_env='{"env_vars": {"RATE": "1"}}'),
}


@pytest.fixture(scope="module")
def grammar():
    return read_experiment("dac", ["dac.widths=[4]"]).build()


def dac(*changes, placement=None):
    return read_experiment("dac", ["dac.widths=[4]", *changes], placement)


def test_everything_that_a_table_says_is_in_the_value(grammar):
    assert antiphon.place(grammar, **tomllib.loads(FULL)) == replace(
        spread(grammar, [("Actor", "Deviator")], {"Critic": "Critic.agent"}),
        resources=tuple(ROOMS.items()),
        strategy=Strategy.SPREAD,
        replicas=(("Critic", 3),),
        sharded=("Critic",),
        coupled=("Critic",),
        precision=(("Critic", Precision.BFLOAT16),),
        logical_gpus=True,
    )


def test_without_a_table_everybody_has_a_worker_and_asks_nothing(grammar):
    assert dac().placed(grammar) == antiphon.place(grammar) == spread(grammar)


def test_a_run_can_be_repeated_from_the_resolved_table(place, grammar):
    (place / "full.toml").write_text(FULL)
    experiment = dac(placement="full.toml")
    written = toml(resolved(experiment, grammar))
    assert '[placement.of.Critic.remote_agent]\nnum_cpus = 1.0\nnum_gpus = 0.0\nnode = ""\n' in written
    assert tomllib.loads(written)["placement"]["of"]["Noise"] == {"num_cpus": 0.0, "num_gpus": 0.0, "node": ""}
    assert tomllib.loads(written)["placement"]["of"]["Actor"]["replicas"] == 1
    again = checked(tomllib.loads(written), "again")
    assert again.placed(grammar) == experiment.placed(grammar)
    assert resolved(again, grammar) == resolved(experiment, grammar)


def test_a_run_writes_where_everybody_lived(antiphon, place, tiny_dac):
    (place / "mine.toml").write_text('fuse = [["Actor", "Critic"]]\n[of.Critic]\nnum_cpus = 1\n')
    told = antiphon("run", *tiny_dac, "--placement=mine.toml", "--set=placement.of.Critic.num_gpus=0.5", "--out=mine")
    assert told.code == 0
    written = tomllib.loads((place / "mine/experiment.toml").read_text())["placement"]
    assert (written["strategy"], written["fuse"]) == ("pack", [["Actor", "Critic"]])
    critic = {"num_cpus": 1.0, "num_gpus": 0.5, "node": "", "replicas": 1, "sharded": False,
              "accept_batch_coupling": False, "precision": "declared", "recompute": False}  # fmt: skip
    assert written["of"]["Critic"] == critic and set(written["of"]) == {
        "Nature", "Actor", "Noise", "Deviator", "Critic", "BGE"
    }  # fmt: skip


def test_changes_are_made_to_what_a_file_says(place, grammar):
    (place / "mine.toml").write_text("[of.Critic]\nnum_cpus = 1\n")
    found = dac("placement.of.Critic.num_gpus=0.5", "placement.strategy=spread", placement="mine.toml")
    assert found.placed(grammar) == replace(
        spread(grammar), resources=(("Critic", WorkerResources(1, 0.5)),), strategy=Strategy.SPREAD
    )


def test_a_name_stands_instead_of_the_experiments_own_table(grammar):
    own = "placement.fuse=[['Actor', 'Critic']]"
    assert read_experiment("dac", ["dac.widths=[4]"], "spread").placed(grammar) == spread(grammar)
    assert dac(own).placed(grammar) == spread(grammar, [("Actor", "Critic")])
    assert dac(placement="together").placed(grammar).workers == (("Nature", hosted(grammar)),)


def test_agents_of_one_name_share_an_actor(grammar):
    apart = {"worker": "Desk", "num_cpus": 1}
    of = {"Actor": {"remote_agent": apart}, "Critic": {"remote_agent": {**apart, "runtime_env": {"pip": ["x"]}}}}
    placement = antiphon.place(grammar, of=of)
    assert placement.agents == (("Actor", "Desk"), ("Critic", "Desk"))
    assert placement.resources_of["Desk"] == WorkerResources(2, runtime_env='{"pip": ["x"]}')


def test_the_machine_of_each_worker(grammar):
    found = dict.fromkeys(spread(grammar).names, "here")
    here = antiphon.place(grammar, of={"Critic": {"node": "10.0.0.1"}, "Actor": {"node": {"zone": "a"}}})
    assert machines(here, found) == {**found, "Critic": "10.0.0.1"}
    apart = replace(here, strategy=Strategy.STRICT_SPREAD)
    assert machines(apart, found) == {name: f"machine of {name}" for name in found} | {"Critic": "10.0.0.1"}
    assert machines(together(grammar), {"inline": "here"}) == {"inline": "here"}


CONTRADICTIONS = {
    "stranger": (
        {"of": {"Crtic": {}}},
        "key 'placement.of.Crtic' is of nobody: grammar 'dac' has Nature, Actor, Noise, Deviator, Critic, BGE. "
        "Did you mean 'Critic'? Correct the name.",
    ),
    "an oracle several times": (
        {"of": {"Nature": {"replicas": 2}}},
        "key 'placement.of.Nature.replicas' is for players, and 'Nature' is none; expected one of Actor, Critic, "
        "Deviator. Remove the key.",
    ),
    "fused twice": (
        {"fuse": [["Actor", "Critic"], ["Critic", "Nature"]]},
        "'Critic' is placed twice; expected each worker once, and each player, oracle and loss on one worker. "
        "Remove one of the two.",
    ),
    "two machines": (
        {"fuse": [["Actor", "Critic"]], "of": {"Actor": {"node": "a"}, "Critic": {"node": {"zone": "b"}}}},
        "Actor and Critic share worker 'Actor', and contradict each other in 'node': 'a' and {'zone': 'b'}; expected "
        "one. Correct one of the two, or give them a worker each.",
    ),
    "two numbers": (
        {"fuse": [["Actor", "Critic"]], "of": {"Actor": {"replicas": 1}, "Critic": {"replicas": 2}}},
        "Actor and Critic share worker 'Actor', and contradict each other in 'replicas': 1 and 2; expected "
        "one. Correct one of the two, or give them a worker each.",
    ),
    "two environments": (
        {
            "of": {
                "Actor": {"remote_agent": {"worker": "Desk", "runtime_env": {"pip": ["x"]}}},
                "Critic": {"remote_agent": {"worker": "Desk", "runtime_env": {"pip": ["y"]}}},
            }
        },
        "the agent of Actor and the agent of Critic share worker 'Desk', and contradict each other in 'runtime_env': "
        """'{"pip": ["x"]}' and '{"pip": ["y"]}'; expected one. Correct one of the two, or give them a worker each.""",
    ),
    "a sum that Ray does not assign": (
        {"fuse": [["Actor", "Critic"]], "of": {"Actor": {"num_gpus": 0.75}, "Critic": {"num_gpus": 0.5}}},
        "Actor, Critic share worker 'Actor' and ask for 1.25 GPUs together; expected a whole number, or a fraction "
        "below 1, as Ray assigns them. Correct 'num_gpus' of one of them.",
    ),
    "one machine for two": (
        {"strategy": "strict_spread", "of": {"Actor": {"node": "a"}, "Critic": {"node": "a"}}},
        "workers 'Actor' and 'Critic' are both to be on 'a', and strategy 'strict_spread' gives each worker a machine "
        "of its own. Correct 'node' of one of them, or the strategy.",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_what_contradicts_itself_is_refused_with_names(grammar, case):
    table, text = CONTRADICTIONS[case]
    with pytest.raises(PlacementError) as caught:
        antiphon.place(grammar, **table)
    assert str(caught.value) == text


def test_replicas_that_one_member_says_are_of_the_whole_worker(grammar):
    found = antiphon.place(grammar, fuse=[["Actor", "Critic"]], of={"Critic": {"replicas": 2}})
    assert found.replicas == (("Actor", 2),) and found.hosts_on["Actor#1"] == ("Actor", "Critic")


WRONG = [
    ("num_gpus=1.5", "num_gpus' takes a whole number, or a fraction below 1, and the number 1.5 arrived."),
    ("num_gpus=-1", "num_gpus' takes a whole number, or a fraction below 1, and the number -1 arrived."),
    ("num_cpus=inf", "num_cpus' takes a finite number, and the number inf arrived."),
    ("replicas=0", "replicas' takes a number of at least 1, and the number 0 arrived."),
    ("precision=half", "precision' takes 'declared', 'bfloat16' or 'float16', and the bare word 'half' arrived."),
    ("node=3", """node' takes an address, or a table of labels (name = "value"), and the number 3 arrived."""),
    ("node={zone=''}", """node' takes an address, or a table of labels (name = "value"), and the table {'zone': ''} """
                       "arrived."),
    ("resources={GPU=1}", "resources' takes resources of the cluster's own names (GPU is said by 'num_gpus'), and the "
                          "table {'GPU': 1} arrived."),
    ("resources={memory=1}", "resources' takes resources of the cluster's own names, and the table {'memory': 1} "
                             "arrived."),
    ("resources={x=-1}", "resources.x' takes 0, or a number of at least 0.0001, and the number -1 arrived."),
]  # fmt: skip


@pytest.mark.parametrize(("change", "text"), WRONG, ids=[change for change, _ in WRONG])
def test_values_that_ray_would_not_take_are_refused(change, text):
    with pytest.raises(ExperimentError) as caught:
        dac(f"placement.of.Critic.{change}")
    assert str(caught.value) == (f"experiment 'dac' is refused: key 'placement.of.Critic.{text} Correct the value.")


def test_a_wrong_key_in_python_is_refused_as_in_a_file(grammar):
    with pytest.raises(ExperimentError) as caught:
        antiphon.place(grammar, of={"Critic": {"remote_agent": {"wroker": "x"}}})
    assert str(caught.value) == (
        "the placement is refused: there is no key 'of.Critic.remote_agent.wroker'; expected one of num_cpus, "
        "num_gpus, resources, node, worker, runtime_env. Did you mean 'worker'? Correct or remove it."
    )


def test_names_of_nobody_are_refused_inline_too(antiphon, tiny_dac):
    told = antiphon("run", *tiny_dac, "--set=placement.of.Crtic.num_cpus=1")
    assert (told.code, told.error) == (2, f"error: {CONTRADICTIONS['stranger'][1]}\n")


def test_what_a_ray_of_ones_own_can_never_have_is_refused_before_it_is_started(antiphon, place, tiny_dac, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # though other tests may have one
    monkeypatch.setattr("antiphon.deploy.embedded.ray_session", None)
    wild = ["--set=placement.of.Critic.num_gpus=64", "--set=placement.of.Nature.node={zone='b'}"]
    told = antiphon("run", *tiny_dac, "--executor=ray", "--out=mine", *wild, "--set=placement.strategy=strict_spread")
    assert (told.code, told.out) == (2, "") and not (place / "mine").exists()
    assert told.error.startswith(
        "error: the placement asks for what the cluster does not have:\n"
        "  worker 'Nature' is to be where zone = 'b', and no machine carries that;\n"
        "  worker 'Critic' asks for 64 GPUs, and no machine has more than "
    )
    assert "the cluster has 1 ('Nature', 'Actor', 'Noise', 'Deviator', 'Critic', 'BGE');\n" in told.error


def test_a_run_tells_where_every_replica_is(grammar):
    placement = antiphon.place(grammar, of={"Critic": {"replicas": 3}})
    with antiphon.launch(grammar, placement=placement) as game:
        name, kind, worker, process, _ = (list(map(str, column.cells)) for column in casting(game, dac()).columns)
    rows = [row for row in zip(name, kind, worker, strict=True) if row[0] == "Critic"]
    assert rows == [("Critic", "player", each) for each in ("Critic", "Critic#1", "Critic#2")]
    assert set(process) == {str(os.getpid())}


def test_a_worker_does_not_take_the_name_of_a_replica(grammar):
    with pytest.raises(PlacementError) as caught:
        antiphon.place(grammar, of={"Critic": {"replicas": 2, "remote_agent": {"worker": "Critic#1"}}})
    assert str(caught.value) == (
        "'Critic#1' is placed twice; expected each worker once, and each player, oracle and loss on one worker. "
        "Remove one of the two."
    )


def test_a_value_of_ones_own_needs_no_table(grammar):
    assert Placement((("all", hosted(grammar)),)).resources_of == {"all": WorkerResources()}


def test_the_document_shows_what_is_drawn_and_what_can_be_read(grammar):
    document = (Path(__file__).resolve().parents[2] / "docs/placement.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```", document, flags=re.MULTILINE | re.DOTALL)
    assert example == PLACEMENT.lstrip()
    placement = read_experiment("dac", {"dac.widths": [4], **tomllib.loads(example)}).placed(grammar)
    assert placement.names == (
        "Nature", "Actor", "Noise", "Critic", "Critic#1", "Critic#2", "BGE", "Critic.agent"
    )  # fmt: skip
    for key in (*PlacementTable.model_fields, *PlaceTable.model_fields, *RemoteAgentTable.model_fields):
        assert f"`{key}`" in document or f"`{key}.NAME`" in document, key


def test_inline_the_settings_of_players_count(antiphon, place):
    def losses(*changes: str) -> list[float]:
        told = antiphon("run", "backprop", "--rounds=4", f"--out=run{len(list(place.iterdir()))}", *changes)
        assert told.code == 0, told.error
        newest = max(place.iterdir(), key=lambda each: each.stat().st_mtime_ns)
        return [json.loads(line)["losses"] for line in (newest / "metrics.jsonl").read_text().splitlines()]

    plain = losses()
    assert losses("--set=placement.of.Dense1.recompute=true") == plain
    assert losses("--set=placement.of.Dense1.precision=bfloat16") != plain
