"""`antiphon show GRAMMAR --placement NAME`: as text, as a picture, and refused in words."""

import pytest


def test_a_placement_is_told_and_drawn(antiphon, place):
    (place / "mine.toml").write_text("[of.Output]\nreplicas = 2\nnum_cpus = 1\n")
    told = antiphon("show", "backprop", "--placement=mine.toml")
    assert told.code == 0 and "Output × 2 Output any 1 CPU" in [
        " ".join(line.split()) for line in told.out.splitlines()
    ]
    for name, start in (("x.svg", b"<svg "), ("x.png", b"\x89PNG"), ("x.txt", told.out.encode())):
        drawn = antiphon("show", "backprop", "--placement=mine.toml", f"--out={name}")
        assert (drawn.code, drawn.out) == (0, f"backprop: placement: {name}\n")
        assert (place / name).read_bytes().startswith(start)


def test_the_experiments_own_placement_is_shown(antiphon):
    told = antiphon("show", "backprop", "--placement=own", "--set=placement.strategy=strict_spread")
    assert told.code == 0 and "on a machine each (strict_spread)" in told.out
    assert "nothing travels" in antiphon("show", "backprop", "--placement=together").out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--placement=mine.toml"],
            "placement 'mine.toml' cannot be read: No such file or directory. Expected a TOML file; correct the path.",
        ),
        (
            ["--placement=spread", "--out=x.gif"],
            "file 'x.gif' ends in .gif; expected one of .svg, .png, .txt. The ending chooses the format: change it.",
        ),
        (
            ["--placement=spread", "--against=dac"],
            "show was given --against and --placement; expected one of them. Leave one out.",
        ),
        (
            ["--placement=spread", "--set=placement.of.Outptu.num_cpus=1"],
            "key 'placement.of.Outptu' is of nobody: grammar 'backprop' has Nature, Dense1, Dense2, Output, Loss. "
            "Did you mean 'Output'? Correct the name.",
        ),
    ],
)
def test_what_cannot_be_shown(antiphon, arguments, text):
    told = antiphon("show", "backprop", *arguments)
    assert (told.code, told.out, told.error) == (2, "", f"error: {text}\n")
