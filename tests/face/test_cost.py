"""`antiphon cost`: predicted beside measured, as a table, as JSON, along a scan; and what it refuses."""

import json
from dataclasses import replace

import pytest

from antiphon.analysis.cost_report import cost_report
from antiphon.cli import cost
from antiphon.cli.cost_scan import parse_scan, scanned
from antiphon.cli.cost_tables import disagreements
from antiphon.experiments.load import read_experiment
from antiphon.experiments.shipped import shipped

SMALL = ["--set=backprop.widths=[8]", "--set=backprop.batch=16", "--set=dac.widths=[4]", "--set=dac.learn_from=10"]
SMALL += ["--set=dac.warmup=4", "--set=dac.envs=2", "--set=dac.batch=4"]

OWN = """
import torch
import antiphon

def game(layers=2, classes=3):
    widths = [4] * (layers - 1)
    return antiphon.backprop(antiphon.digits(8), antiphon.dense_layers((64,), widths, 10))
"""


def test_predicted_stands_above_measured_and_both_are_equal(antiphon):
    told = antiphon("cost", "backprop", "dac", *SMALL)
    assert told.error == ""
    assert told.code == 0
    lines = [line.rstrip() for line in told.out.splitlines()]
    assert lines[:2] == [
        "backprop: round 0, 4 workers, executor inline, predicted from the graphs",
        "dac: rounds 10 to 11, 6 workers, executor inline, predicted from the graphs",
    ]
    rows = {tuple(line.split()[:2]): line.split() for line in lines}
    x, y, hidden, logits = 16 * 64 * 4, 16 * 8, 16 * 8 * 4, 16 * 10 * 4
    zeroth, first = f"{x + y + hidden + logits:,}", f"{hidden + logits:,}"
    assert rows["backprop", "predicted"] == (f"backprop predicted 4 2 {zeroth} {first} 4 3 2 2 of 2 1 of 2".split())
    assert rows["measured", "4"] == f"measured 4 2 {zeroth} {first} 0 4".split()
    assert rows["dac", "predicted"][2:4] == ["16.5", "3"]  # acting, three messages, happens every other round
    assert rows["dac", "Nature"] == ["dac", "Nature", "2", "2"]  # a replay each round; every other, observe and step


def test_json_has_totals_and_every_message(antiphon):
    told = antiphon("cost", "backprop", "--json", "--rounds=3", *SMALL[:2])
    (found,) = json.loads(told.out)
    assert told.code == 0 and found["agrees"] and found["rounds"] == 3
    measured = dict(found["measured"])
    assert measured.pop("overhead_bytes") == 0
    assert found["predicted"] == measured
    assert found["depth"] == {"Q": 3, "R": 2}
    assert found["locality"] == {"local": 3, "broadcast": 0, "relayed": 3, "distant": 0}
    assert found["messages"][-1] == {
        "graph": "R",
        "value": "Dropout1 *",
        "source": "Output",
        "target": "Dense1",
        "order": "first",
        "bytes": 512,
        "rounds": 3,
        "locality": "relayed",
    }


def test_a_scan_shows_how_costs_grow(antiphon, place):
    (place / "own.py").write_text(OWN)
    told = antiphon("cost", "backprop", "own:game", "--scan=layers=1,3", "--json", *SMALL[:2])
    found = {(each["grammar"], each["layers"]): each for each in json.loads(told.out)}
    assert [each["depth"]["R"] for each in found.values()] == [1, 3, 1, 3]
    assert found["own:game", 3]["workers"] == ["Nature", "Dense1", "Dense2", "Output", "Loss"]


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_a_scan_is_plotted_and_equal_scans_give_equal_bytes(antiphon, place, ending):
    pictures = []
    for name in ("one", "two"):
        told = antiphon("cost", "backprop", "--scan=layers=1,2", f"--out={name}{ending}", *SMALL[:2])
        assert told.code == 0 and told.out.splitlines()[-1] == f"plot: {name}{ending}"
        pictures.append((place / f"{name}{ending}").read_bytes())
    assert pictures[0] == pictures[1] and len(pictures[0]) > 1000


def test_a_placement_from_a_file_tells_what_crosses_between_machines(antiphon, place):
    (place / "two.toml").write_text(
        'fuse = [["Nature", "Dense1"]]\nof.Dense1.node = "one"\nof.Output.node = "other"\nof.Loss.node = "other"\n'
    )
    told = antiphon("cost", "backprop", "--placement=two.toml", "--json", *SMALL[:2])
    (found,) = json.loads(told.out)
    assert found["predicted_from"] == "schedule" and found["agrees"]
    hidden, labels = 16 * 8 * 4, 16 * 8
    assert found["between_machines"] == [
        {"from": "one", "to": "other", "messages": 2, "predicted": hidden + labels, "measured": hidden + labels},
        {"from": "other", "to": "one", "messages": 1, "predicted": hidden, "measured": hidden},
    ]


def test_together_nothing_travels(antiphon):
    told = antiphon("cost", "backprop", "--placement=together", *SMALL[:2])
    assert told.code == 0
    assert "backprop  predicted           0           0             0            0" in told.out
    assert "(nothing travels)" in told.out


def test_a_disagreement_ends_with_exit_code_1(antiphon, monkeypatch):
    def lying(*arguments):
        honest = cost_report(*arguments)
        return replace(honest, found=replace(honest.found, query_messages=7))

    monkeypatch.setattr(cost, "cost_report", lying)
    told = antiphon("cost", "backprop", *SMALL[:2])
    assert told.code == 1
    assert told.error == "disagreement: grammar 'backprop', over 1 rounds: query messages: predicted 4, measured 7\n"


def test_an_edge_that_carried_otherwise_is_named():
    found = cost_report("backprop", read_experiment("backprop", ["backprop.widths=[8]", "backprop.batch=16"]))
    assert found.agrees and disagreements(found) == []
    first, *others = found.measured
    wrong = replace(found, measured=(replace(first, payload=1), *others))
    assert not wrong.agrees
    assert disagreements(wrong) == [
        "grammar 'backprop', over 1 rounds: edge 'Q[Nature.sample] -> Dense1': predicted 1 messages and 4096 bytes, "
        "measured 1 and 1"
    ]


def test_a_key_of_the_grammars_table_needs_no_prefix():
    scan = parse_scan("batch=8,16")
    assert [scanned("backprop", {}, scan.key, value).table.batch for value in scan.values] == [8, 16]
    assert scanned("dac", {}, "dac.batch", 4).table.batch == 4
    assert scanned("backprop", {}, "seed", 4).seed == 4
    assert scanned("own:game", {}, "layers", 4).arguments == {"layers": 4}
    assert scanned("backprop-convolutional", {}, "layers", 5).table.widths == [128, 128]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["backprp"],
            f"grammar 'backprp' is not known; expected one of {', '.join(shipped())}, "
            "a path to a .toml file, or 'module:factory'. Did you mean 'backprop'? See `antiphon list`.",
        ),
        (
            ["backprop", "--scan", "layers"],
            "--scan takes key=value,value,..., and 'layers' arrived. Write it like --scan layers=2,4,8",
        ),
        (
            ["backprop", "--scan", "layers=2,none"],
            "--scan layers takes whole numbers of at least 1, and '2,none' arrived. Write it like --scan layers=2,4,8",
        ),
        (
            ["backprop-convolutional", "--scan", "layers=1"],
            "a network of 1 layers was asked for, and key 'backprop.channels' has 2 already; expected 3 or more. "
            "Use fewer channels, or more layers.",
        ),
        (
            ["backprop", "--out", "plot.png"],
            "--out draws a scan, and --scan was not given. Write it like --scan layers=2,4,8",
        ),
        (
            ["backprop", "--scan", "layers=1", "--out", "plot.bmp"],
            "file 'plot.bmp' ends in .bmp; expected one of .png, .svg, .pdf. The ending chooses the format: change it.",
        ),
        (
            ["backprop", "--scan", "layers=1", "--out", "nowhere/plot.png"],
            "file 'nowhere/plot.png' cannot be written: there is no folder 'nowhere'. "
            "Expected a file in a folder that exists and may be written to; correct the path.",
        ),
        (
            ["backprop", "--placement", "everywhere"],
            "placement 'everywhere' is not known; expected 'own', 'spread', 'together', or a path to a .toml file. "
            "Name one of these.",
        ),
        (
            ["backprop", "--placement", "nowhere.toml"],
            "placement 'nowhere.toml' cannot be read: No such file or directory. "
            "Expected a TOML file; correct the path.",
        ),
        (
            ["backprop", "--executor", "rya"],
            "experiment 'backprop' is refused: key 'executor' takes 'inline' or 'ray', and the string 'rya' arrived. "
            "Correct the value.",
        ),
    ],
)
def test_bad_input_is_refused(antiphon, arguments, text):
    told = antiphon("cost", *arguments)
    assert (told.code, told.out, told.error) == (2, "", f"error: {text}\n")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("of = 3", "is refused: key 'of' takes a table, and the number 3 arrived. Correct the value."),
        ("[of.Output]\nnum_gpu = 1", "is refused: there is no key 'of.Output.num_gpu'; expected one of num_cpus, "
         "num_gpus, resources, node, replicas, sharded, accept_batch_coupling, precision, recompute, remote_agent. "
         "Did you mean 'num_gpus'? Correct or remove it."),
        ("[workers", "is not TOML: Expected ']' at the end of a table declaration (at end of document). "
         "Correct that line."),
    ],
)  # fmt: skip
def test_a_placement_that_does_not_fit_is_refused(antiphon, place, content, text):
    (place / "bad.toml").write_text(content)
    told = antiphon("cost", "backprop", "--placement=bad.toml")
    assert (told.code, told.out, told.error) == (2, "", f"error: placement 'bad.toml' {text}\n")


def test_a_schedule_is_shown_and_drawn(antiphon, place):
    told = antiphon("show", "backprop", "--schedule", *SMALL[:2])
    assert told.code == 0
    assert told.out.splitlines()[2] == "Nature  Q . . . . . . . . .  idle 90 %"
    for name in ("plan.svg", "plan.json", "plan.txt"):
        told = antiphon("show", "backprop", "--schedule", f"--out={name}", *SMALL[:2])
        assert (told.code, told.out) == (0, f"schedule: {name}\n")
    told = antiphon("show", "backprop", "--schedule", "--rounds=2", "--out=played.json", *SMALL[:2])
    rounds = {each["args"].get("round") for each in json.loads((place / "played.json").read_text())["traceEvents"]
              if each["ph"] == "X"}  # fmt: skip
    assert rounds == {3, 4}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["backprop", "--rounds", "2"],
            "show was given --rounds 2; expected a schedule: add --schedule, or leave out --rounds.",
        ),
        (
            ["backprop", "--schedule", "--against", "dac"],
            "show was given --against dac; expected a picture of the graphs: leave out --schedule, or leave out "
            "--against.",
        ),
        (
            ["backprop", "--schedule", "--out", "plan.gif"],
            "file 'plan.gif' ends in .gif; expected one of .svg, .json, .txt. "
            "The ending chooses the format: change it.",
        ),
    ],
)
def test_a_schedule_that_cannot_be_drawn(antiphon, arguments, text):
    told = antiphon("show", *arguments)
    assert (told.code, told.out, told.error) == (2, "", f"error: {text}\n")
