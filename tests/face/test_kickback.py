"""`antiphon run kickback`: a small run, its evaluation, and what its table refuses."""

import pytest

TINY = ["kickback", "--rounds=4", "--set=kickback.widths=[4]", "--set=kickback.batch=16"]

OWN = """
import torch, antiphon

def images(batch, size=6):
    return antiphon.arrays(torch.randn(20, 1, size, size), torch.randn(20, 1), batch=batch)

def several(batch):
    return antiphon.arrays(torch.randn(20, 3), batch=batch)
"""


def test_it_learns_and_tells_the_error_in_units_of_the_targets_variance(antiphon):
    told = antiphon("run", "kickback", "--out=mine")
    assert (told.code, told.error) == (0, "")
    line = told.out.splitlines()[-1]
    assert line.startswith("evaluation error: ") and line.endswith(" % of the target's variance over 89 patients")
    assert 30 < float(line.split()[2]) < 75  # the mean of the targets would make about 100
    assert antiphon("evaluate", "mine").out.splitlines()[-1] == line


@pytest.mark.parametrize("units", ["signed", "unsigned"])
@pytest.mark.parametrize("weights", ["coherent", "started", "free"])
def test_every_kind_of_network_plays(antiphon, units, weights):
    told = antiphon("run", *TINY, f"--set=kickback.units={units}", f"--set=kickback.weights={weights}", "--out=mine")
    assert (told.code, told.error) == (0, "")


def test_data_of_ones_own_and_convolutions(antiphon, place):
    (place / "own.py").write_text(OWN)
    changes = ["--set=kickback.data=own:images", "--set=kickback.channels=[3]"]
    told = antiphon("run", *TINY, *changes, "--out=mine")
    assert (told.code, told.error) == (0, "")
    assert told.out.splitlines()[-1] == "run folder: mine"
    assert list((place / "mine" / "checkpoints").glob("*/Convolution1*"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            ["kickback.data=digits"],
            "key 'kickback.data' takes 'diabetes' or 'module:function', and 'digits' arrived. Correct the value.",
        ),
        (
            ["kickback.channels=[3]"],
            "key 'kickback.channels' asks for convolutions on examples of the shape (10,); expected "
            "(channels, height, width). Use channels = [], or other data.",
        ),
        (
            ["kickback.data=own:several"],
            "data 'own:several' returned ",
        ),
    ],
)
def test_what_does_not_fit_is_refused(antiphon, place, changes, text):
    (place / "own.py").write_text(OWN)
    told = antiphon("run", *TINY, *(f"--set={change}" for change in changes), "--out=mine")
    assert told.code == 2
    assert text in " ".join(told.error.split())
    assert not (place / "mine").exists()
