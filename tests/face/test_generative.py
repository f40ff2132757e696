"""Experiments with Grammars 2 and 3: tiny runs, and what their tables refuse."""

import pytest
import torch

from antiphon.errors import ExperimentError, OracleError
from antiphon.experiments.load import read_experiment
from antiphon.grammars.seeds import stream
from antiphon.launching import launch
from antiphon.recipes.vae import bounds
from antiphon.runs.evaluation import evaluate_folder

VAE = ["--rounds=4", "--set=vae.widths=[8]", "--set=vae.batch=16", "--set=vae.latent=3"]
GAN = ["--rounds=4", "--set=gan.widths=[8]", "--set=gan.forger_widths=[8]", "--set=gan.batch=16", "--set=gan.latent=3"]


@pytest.mark.parametrize(
    ("arguments", "quantity", "images"),
    [
        (["vae", *VAE], "negative variational bound", 360),
        (["vae", *VAE, "--set=vae.binary=fixed"], "negative variational bound", 360),
        (
            ["vae", *VAE, "--set=vae.network=convolutional", "--set=vae.channels=[3]", "--set=vae.binary=dynamic"],
            "negative variational bound",
            360,
        ),
        (["vae", *VAE, "--set=vae.likelihood=gaussian"], "negative variational bound", 360),
        (["vae", *VAE, "--set=vae.data=mnist"], "negative variational bound", 1000),
        (["gan", *GAN], "real told from forged", 720),
        (["gan", *GAN, "--set=gan.saturating=true"], "real told from forged", 720),
        (
            ["gan", *GAN, "--set=gan.network=convolutional", "--set=gan.channels=[3]", "--set=gan.forger_channels=[3]"],
            "real told from forged",
            720,
        ),
    ],
    ids=lambda each: " ".join(each[-1:]) if isinstance(each, list) else "",
)
def test_a_tiny_run_is_judged_on_held_out_images(antiphon, place, arguments, quantity, images):
    told = antiphon("run", *arguments, "--out=mine")
    assert (told.code, told.error) == (0, "")
    found = evaluate_folder(place / "mine")
    assert (found.quantity, len(found.figures)) == (quantity, images)
    assert found == evaluate_folder(place / "mine")
    assert told.out.splitlines()[-1] == found.line


def test_the_bound_of_a_test_image_is_its_loss_in_play():
    """The recipe draws the noise itself; with many images both are means of the same thing."""
    experiment = read_experiment("vae", {"vae.widths": [8], "vae.latent": 3, "vae.batch": 360})
    grammar = experiment.build()
    with launch(grammar, seed=1) as game:
        states = game.states()
        played = game.play(1).losses
        x = torch.as_tensor(_played(grammar))
    assert float(bounds(grammar, states, x, 0).mean()) == pytest.approx(
        played["L1"].values[0] + played["L2"].values[0], rel=0.01
    )


def _played(grammar) -> torch.Tensor:
    (world,) = (each.declaration for each in grammar.query.oracles if each.name == "Environment")
    return world.make(stream(1, "oracle", "Environment")).answer("sample", (), 0)[0]


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        (
            {"vae.data": "cats"},
            ExperimentError,
            "key 'vae.data' takes 'digits', 'mnist' or 'module:function', and 'cats' arrived. Correct the value.",
        ),
        (
            {"vae.network": "convolutional", "vae.channels": [2, 2, 2, 2]},
            ExperimentError,
            "key 'vae.network' is 'convolutional' with 4 channels for examples of the shape (1, 8, 8); expected "
            "(channels, height, width), both sizes divisible by 16. Use fewer channels, other data, or network = "
            '"dense".',
        ),
        (
            {"vae.data": "math:hypot"},
            ExperimentError,
            "data 'math:hypot' cannot be made from the arguments {'batch': 128}: TypeError: math.hypot() takes no "
            "keyword arguments. Expected a function that takes these; correct it, or the arguments.",
        ),
        (
            {"vae.data": "builtins:dict"},
            ExperimentError,
            "data 'builtins:dict' returned {'batch': 128}; expected the declaration of an oracle whose first answer is "
            "x. Return antiphon.dataset(...) or an OracleDeclaration of your own.",
        ),
        ({"vae.batch": 5000}, OracleError, "expected a batch of 1 to 1437"),
    ],
)
def test_refusals(changes, kind, text):
    with pytest.raises(kind) as refused:
        read_experiment("vae", changes).build()
    assert text in str(refused.value)


def test_data_of_ones_own_has_nothing_to_be_judged_by(antiphon, place):
    (place / "noughts.py").write_text(
        "import torch, antiphon\ndef data(batch): return antiphon.arrays(torch.zeros(40, 6), batch=batch)\n"
    )
    told = antiphon("run", "gan", *GAN, "--set=gan.data=noughts:data", "--out=mine")
    assert (told.code, told.error) == (0, "")
    assert told.out.splitlines()[-1] == "run folder: mine"
