"""The table of credit assignment in its short form: every rule, every figure, on a few images."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from antiphon.checks.recorded import flat_gradient, record
from antiphon.envs import arrays
from benchmarks.credit_assignment import BASE, HEADER, RULES, Task, described, draw, kickback, measure, rules_of

GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(200, 6, generator=GENERATOR), torch.randint(3, (200,), generator=GENERATOR)
CLASSES, TRUTHS = Task("classes", X, Y, (9, 7), nn.Tanh), Task("truths", X, (Y[:, None] > 1).float(), (9, 7), nn.ReLU)


def test_every_rule_has_its_row_and_its_figures(tmp_path):
    text, raw = measure([CLASSES, TRUTHS], splits=2, rounds=4, tuning=2, points=2)
    for task in (CLASSES, TRUTHS):
        assert set(raw[task.name]) == set(rules_of(task))
        for rule, found in raw[task.name].items():
            assert f"| {rule} | {found['rate']} |" in text
            for run in found["runs"]:
                assert run["rounds"] == [0, 2, 4]
                assert all(0 <= error <= 100 for error in run["errors"])
                assert max(run["angles"][0]) < (1e-3 if rule == BASE else 180)
    json.dumps(raw)
    draw(raw, tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 0


def test_the_depth_grows_only_where_theory_says():
    """Activations are computed by the layer above, so one broadcast is two messages deep."""
    place, deeper = HEADER.index("depth of R") - HEADER.index("messages"), replace(TRUTHS, widths=(9, 8, 7, 6))
    depths = {rule: [described(task, rule)[place] for task in (TRUTHS, deeper)] for rule in RULES}
    assert depths[BASE] == depths["feedback alignment"] == [3, 5]
    assert depths["direct feedback alignment"] == [2, 2]
    assert all(one == two for rule in ("kickback", "synthetic gradients") for one, two in [depths[rule]])


@pytest.mark.parametrize("seed", range(3))
def test_the_kick_of_this_network_is_the_kick_of_the_library(seed):
    """The top two layers receive the gradient. The lowest one receives beta times the kick of the layer above."""
    here = next(iter(record(kickback(arrays(X, TRUTHS.y, batch=64), TRUTHS), seed)))
    for name in ("Dense2", "Output"):
        gradient = flat_gradient(here.composed, name, None)
        assert torch.allclose(here.responses[name], gradient, rtol=1e-4, atol=1e-7)
    assert not torch.allclose(here.responses["Dense1"], flat_gradient(here.composed, "Dense1", None), rtol=0.1)
