"""Folders of the user's own that are called as parts of antiphon disturb nothing: nobody imports them."""

import pytest

NAMES = ["agents", "checks", "coordinator", "deploy", "envs", "grammars", "oracles", "pictures", "transport"]


@pytest.fixture
def crowded(place):
    """A working directory with modules of these names, which raise when they are imported."""
    for name in NAMES:
        (place / name).mkdir()
        (place / name / "__init__.py").write_text(f"raise RuntimeError('the {name}/ of the working directory')\n")
    (place / "mine.py").write_text(
        "import antiphon\n\n\ndef grammar():\n    return antiphon.read_experiment('gan').build()\n"
    )
    return place


def told(start, *arguments: str) -> str:
    process = start(*arguments)
    out, error = process.communicate()
    assert (process.returncode, error) == (0, "")
    return out


def test_the_folders_would_raise(crowded):
    with pytest.raises(RuntimeError, match="the envs/ of the working directory"):
        __import__("envs")


def test_folders_of_ones_own_disturb_no_command(start, crowded, tiny_dac):
    assert "Curator" in told(start, "show", "mine:grammar")  # the working directory is on the path all the same
    assert "return" in told(start, "run", *tiny_dac, "--out=dac")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_folders_of_ones_own_disturb_nobody_on_ray(start, crowded, tiny_backprop):
    assert "rounds/s" in told(start, "run", *tiny_backprop, "--executor=ray", "--out=mine")
