"""An exported player is a file that PyTorch alone loads, with the numbers of the checkpoint."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from antiphon.coordinator.checkpoint import load_states
from antiphon.experiments.load import read_experiment
from antiphon.runs.run import run_experiment

PLAIN = """
import sys, torch
from safetensors.torch import load_file
file = sys.argv[1]
if file.endswith(".pt2"):
    module = torch.export.load(file).module()
else:
    module = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.ReLU())
    state = load_file(file) if file.endswith(".safetensors") else torch.load(file, weights_only=True)
    module.load_state_dict(state)
print(module(torch.linspace(-1, 1, 192).view(3, 64)).sum(0).tolist())
assert not any(name.startswith("antiphon") for name in sys.modules)
"""


class Dense(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(64, 8), nn.ReLU())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    given = {"rounds": 6, "checkpoint_every": 3, "rounds_per_report": 3}
    experiment = read_experiment("backprop", {**given, "backprop.widths": [8]})
    return run_experiment(experiment, tmp_path_factory.mktemp("export") / "run").folder


@pytest.mark.parametrize("at", [3, 6])
@pytest.mark.parametrize("ending, more", [("safetensors", []), ("pt", []), ("pt2", ["--module"])])
def test_plain_pytorch_loads_the_numbers_of_the_checkpoint(run, antiphon, place, at, ending, more):
    told = antiphon("export", str(run), "--player=Dense1", f"--out=mine.{ending}", f"--at={at}", *more)
    assert (told.code, told.out, told.error) == (0, f"player Dense1: mine.{ending}\n", "")
    shown = subprocess.run([sys.executable, "-Pc", PLAIN, f"mine.{ending}"], capture_output=True, text=True, check=True)
    saved = load_states(run / f"checkpoints/round-{at:09d}", ["Dense1"])["Dense1"]["parameters"]
    weight, bias = saved.values()
    expected = (torch.linspace(-1, 1, 192).view(3, 64) @ weight.T + bias).relu().sum(0)
    torch.testing.assert_close(torch.tensor(eval(shown.stdout)), expected)


def test_the_file_is_named_after_the_player(run, antiphon, place):
    assert antiphon("export", str(run), "--player=Output").out == "player Output: Output.safetensors\n"
    assert set(load_file("Output.safetensors")) == {"weight", "bias"}


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--player=Dens1"], "has no player 'Dens1'; expected one of Dense1, Output"),
        (["--player=Dense1", "--out=mine.txt"], "expected one of .safetensors, .pt"),
        (["--player=Dense1", "--module", "--out=mine.pt"], "expected one of .pt2"),
        (["--player=Dense1", "--at=5"], "expected a complete checkpoint of round 5, found those of the rounds 3, 6"),
    ],
)
def test_what_cannot_be_exported_is_refused(run, antiphon, place, arguments, told):
    answer = antiphon("export", str(run), *arguments)
    assert answer.code == 2 and told in answer.error and not list(place.iterdir())


OWN = """
import torch, antiphon
from antiphon.grammars.guarantee import exact

class Branching(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x) if float(x.sum()) > 1e9 else super().forward(x) * 1
    def get_extra_state(self):
        return {"kind": 3}
    def set_extra_state(self, state):
        pass

def game():
    q = antiphon.QueryDraft()
    x = torch.linspace(-1, 1, 32)[:, None]
    x, y = q.oracle("Nature", antiphon.arrays(x, 3 * x, batch=8))()
    line = q.player("Line", Branching, 1, 1)(x)
    objective = antiphon.minimise(q.loss("Loss", torch.nn.functional.mse_loss)(line, y))
    return antiphon.Grammar("line", q.graph(), antiphon.chain_rule(q, objective), objective, exact())
"""


@pytest.mark.parametrize(
    "ending, told", [("pt2", "'its module' failed with"), ("safetensors", "'_extra_state' failed")]
)
def test_a_module_that_torch_cannot_write_is_refused_in_one_line(antiphon, place, ending, told):
    (place / "branching.py").write_text(OWN)
    assert antiphon("run", "branching:game", "--rounds=2", "--out=run").code == 0
    more = ["--allow=branching", *(["--module"] if ending == "pt2" else [])]
    answer = antiphon("export", "run", "--player=Line", f"--out=mine.{ending}", *more)
    assert answer.code == 2 and told in answer.error and answer.error.count("\n") == 1
    plain = antiphon("export", "run", "--player=Line", "--out=mine.pt", "--allow=branching")
    assert plain.code == 0  # it may hold plain values
