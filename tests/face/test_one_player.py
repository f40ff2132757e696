"""Experiments with one player: they learn what they say, and refuse what does not fit."""

import pytest

from antiphon.errors import ExperimentError
from antiphon.experiments.load import read_experiment
from antiphon.runs.evaluation import evaluate_folder

WALK = ["temporal-difference", "--set=temporal_difference.states=5", "--set=temporal_difference.gamma=0.9"]
ALL = ["--set=temporal_difference.play=all", "--rounds=300"]


@pytest.mark.parametrize(
    ("method", "lr", "error"),
    [
        ("clone", 1.5, 0.01),
        ("semi-gradient", 1.5, 0.01),
        ("double-residual", 1.5, 5),
        ("gtd2", 1.5, 5),
        ("tdc", 1.5, 5),
        ("implicit", 0.5, 1),
    ],
)
def test_with_every_transition_played_critic_finds_the_values(antiphon, place, method, lr, error):
    told = antiphon("run", *WALK, *ALL, f"--set=temporal_difference.method={method}", f"--set=agent.arguments.lr={lr}",
                    "--set=agent.scheduler_arguments.T_max=3000", "--out=mine")  # fmt: skip
    assert (told.code, told.error) == (0, "")
    evaluation = evaluate_folder(place / "mine")
    assert (evaluation.quantity, len(evaluation.figures)) == ("error of the value", 5)
    assert evaluation.mean < error
    assert told.out.splitlines()[-1] == evaluation.line
    assert evaluation.line.endswith(" % over 5 states")


def test_one_sample_is_not_enough_for_a_residual_gradient(antiphon, place):
    told = antiphon("run", *WALK, *ALL, "--set=temporal_difference.method=residual", "--out=mine")
    assert (told.code, told.error) == (0, "")
    assert evaluate_folder(place / "mine").mean > 5


@pytest.mark.parametrize("penalty", [0.0, 0.001])
def test_a_penalised_classifier_is_judged_on_the_whole_test_split(antiphon, place, penalty):
    told = antiphon("run", "supervised", "--rounds=150", f"--set=supervised.penalty={penalty}", "--out=mine")
    assert (told.code, told.error) == (0, "")
    evaluation = evaluate_folder(place / "mine")
    assert (evaluation.quantity, len(evaluation.figures)) == ("accuracy", 360)
    assert evaluation.mean > 90


def test_a_gaussian_is_judged_by_its_log_density(antiphon, place):
    told = antiphon("run", "likelihood", "--rounds=150", "--set=agent.arguments.lr=0.05", "--out=mine")
    assert (told.code, told.error) == (0, "")
    evaluation = evaluate_folder(place / "mine")
    assert (evaluation.quantity, len(evaluation.figures)) == ("log-likelihood", 360)
    assert evaluation.mean > 0  # the standard normal, where it begins, is at about -67
    assert evaluation.line.endswith(" nats over 360 images")


def test_a_process_of_ones_own(antiphon, place):
    (place / "mine.py").write_text(
        "import torch\n"
        "from antiphon.envs import MarkovProcess\n"
        "def coin(pay):\n"
        "    half = torch.full((2, 1, 2), 0.5, dtype=torch.float64)\n"
        "    start = torch.tensor([0.5, 0.5], dtype=torch.float64)\n"
        "    rewards = torch.zeros_like(half); rewards[:, :, 1] = pay\n"
        "    return MarkovProcess(half, rewards, torch.zeros(2, dtype=torch.bool), start, torch.eye(2))\n"
    )
    changes = ["process=mine:coin", "process_arguments.pay=2.0", "gamma=0.5", "play=all"]
    changes = [f"--set=temporal_difference.{change}" for change in changes]
    told = antiphon("run", "temporal-difference", *changes, "--rounds=100", "--out=run")
    assert (told.code, told.error) == (0, "")
    assert evaluate_folder(place / "run", allow=["mine"]).mean < 1e-2


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        (
            "supervised",
            {"supervised.data": "iris"},
            "key 'supervised.data' takes 'digits' or 'module:function', and 'iris' arrived. Correct the value.",
        ),
        (
            "temporal-difference",
            {"temporal_difference.process": "chess"},
            "key 'temporal_difference.process' takes 'random-walk', 'boyan-chain', 'baird-star' or 'module:function', "
            "and 'chess' arrived. Correct the value.",
        ),
        (
            "temporal-difference",
            {"temporal_difference.process": "builtins:dict", "temporal_difference.process_arguments": {"size": 2}},
            "process 'builtins:dict' returned a dict; expected an antiphon.envs.MarkovProcess. Return one.",
        ),
    ],
)
def test_refusals(name, changes, text):
    with pytest.raises(ExperimentError) as refused:
        read_experiment(name, changes).build()
    assert str(refused.value) == text


def test_a_table_of_another_grammar_is_refused():
    with pytest.raises(ExperimentError) as refused:
        read_experiment("temporal-difference", {"supervised.batch": 3})
    assert str(refused.value) == (
        "experiment 'temporal-difference' is refused: key 'supervised' does not belong to grammar "
        "'temporal-difference'; expected the table [temporal_difference]. Remove it, or change the grammar."
    )


def test_data_that_are_no_vectors_are_refused(place):
    (place / "images.py").write_text(
        "import antiphon\ndef images(batch): return antiphon.digits(batch, image=True)\ndef number(batch): return 3\n"
    )
    with pytest.raises(ExperimentError) as refused:
        read_experiment("likelihood", {"likelihood.data": "images:images"}).build()
    assert str(refused.value) == (
        "key 'likelihood.data' names data whose first value is float32[batch, 1, 8, 8]; expected vectors, "
        "(batch, width). Flatten them."
    )
    with pytest.raises(ExperimentError) as refused:
        read_experiment("supervised", {"supervised.data": "images:number"}).build()
    assert str(refused.value) == (
        "data 'images:number' returned 3; expected the declaration of an oracle whose first answer is x. "
        "Return antiphon.dataset(...) or an OracleDeclaration of your own."
    )
