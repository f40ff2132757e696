"""Many players on one small machine, each in an actor of its own."""

import pytest
from torch import nn

from antiphon.agents.specification import AgentSpecification
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import backprop
from rigs.equality import check_same_on_ray
from rigs.games import points

pytestmark = pytest.mark.slow


def test_forty_eight_players_start_play_and_end(ray_is_up):
    grammar = backprop(points(3), {f"Layer{index}": Factory.of(nn.Linear, 3, 3) for index in range(48)})
    check_same_on_ray(grammar, AgentSpecification.of("SGD", {"lr": 0.01}), 4, "many-players", None, deadline=120.0)
