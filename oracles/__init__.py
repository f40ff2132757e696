"""Oracles: noise, black boxes, gray boxes and operators. May import grammars and errors only."""

from antiphon.oracles.answers import answer_check as answer_check, checked_answer as checked_answer
from antiphon.oracles.black_box import black_box as black_box
from antiphon.oracles.carried_state import memory as memory
from antiphon.oracles.directions import coordinates as coordinates
from antiphon.oracles.gray_box import gray_box as gray_box
from antiphon.oracles.noise import (
    Annealing as Annealing,
    gaussian as gaussian,
    rademacher as rademacher,
    uniform as uniform,
)
from antiphon.oracles.operator import Operator as Operator
from antiphon.oracles.ornstein_uhlenbeck import ornstein_uhlenbeck as ornstein_uhlenbeck
from antiphon.oracles.referee import finite_referee as finite_referee, point_referee as point_referee
from antiphon.oracles.scalar_schedule import scalar_schedule as scalar_schedule
