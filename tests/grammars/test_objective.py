"""Objective: losses and a direction; the seed's sign makes every message one to be minimised."""

from antiphon.grammars.objective import Direction, maximise, minimise
from antiphon.grammars.query import Port
from antiphon.grammars.random_grammars import TanhLayer, mean_gap, mean_softplus


def test_both_directions_name_their_losses(begun):
    q, x, y = begun
    played = q.player("A", TanhLayer, 3, 2)(x)
    one, two = q.loss("One", mean_gap)(played, y), q.loss("Two", mean_softplus)(played)
    assert minimise(one, two).losses == (Port("One"), Port("Two"))
    assert repr(minimise(one, two)) == "minimise One + Two"
    assert repr(maximise(one)) == "maximise One"
    (down,), (up,) = minimise(one).terms, maximise(one).terms
    assert (down.sign, up.sign) == (1.0, -1.0)
    assert up.direction is Direction.MAXIMISE
