"""Placement: everyone on one worker, and what is unknown or placed twice is refused."""

import pytest

from antiphon.coordinator.plan.placement import Placement, hosted, locate, spread, together
from antiphon.errors import PlacementError
from rigs.games import convolutional, with_dropout

GRAMMAR = with_dropout()
EVERYONE = ("Nature", "First", "Second", "Norm", "Last", "Loss")


def test_everyone_but_operators_gets_a_place():
    assert hosted(GRAMMAR) == EVERYONE
    assert together(GRAMMAR).workers == (("inline", EVERYONE),)


def test_the_default_is_a_worker_each():
    assert spread(GRAMMAR).workers == tuple((name, (name,)) for name in EVERYONE)


def test_sharing_is_explicit():
    placement = spread(GRAMMAR, fuse=[("Second", "First"), ("Loss", "Nature"), ()], agents={"Last": "far"})
    assert repr(placement) == (
        "placement:\n"
        "  Loss: Nature, Loss\n"
        "  Second: First, Second\n"
        "  Norm: Norm\n"
        "  Last: Last\n"
        "  far: (agents only)\n"
        "  agent of Last on far"
    )


def test_an_agent_beside_its_operator_is_not_apart():
    assert spread(GRAMMAR, agents={"Last": "Last"}).agent_of == {}
    assert spread(GRAMMAR, agents={"Last": "Norm"}).agent_of == {"Last": "Norm"}


def test_operators_live_with_their_first_consumer():
    place = locate(GRAMMAR, spread(GRAMMAR))
    assert place["Second + First"] == "Norm"
    assert place["Drop"] == "Last"
    place = locate(convolutional(), spread(convolutional()))
    assert (place["Pool"], place["Flat"]) == ("Last", "Last")


def test_a_worker_or_a_host_placed_twice_is_refused(refusal):
    twice = (
        "'First' is placed twice; expected each worker once, and each player, oracle and loss on one worker. "
        "Remove one of the two."
    )
    assert refusal(PlacementError, lambda: Placement((("a", ("First",)), ("b", ("First",))))) == twice
    assert refusal(PlacementError, lambda: Placement((("First", ()), ("First", ())))) == twice
    assert refusal(PlacementError, lambda: spread(GRAMMAR, fuse=[("Nature", "First"), ("First", "Last")])) == twice
    agents = (("First", "b"), ("First", "a"))
    text = refusal(PlacementError, lambda: Placement((("a", ("First",)), ("b", ())), agents))
    assert text.startswith("'the agent of First' is placed twice;")


def test_an_agent_needs_a_worker(refusal):
    assert refusal(PlacementError, lambda: Placement((("a", ("First",)),), (("First", "b"),))) == (
        "the agent of player 'First' is placed on 'b', which is no worker; "
        "expected one of ['a']. Add the worker, or name one of these."
    )


@pytest.mark.parametrize("name", ["Fist", "Drop"])
def test_unknown_names_are_refused(name, refusal):
    text = (
        f"{name!r} is placed, but grammar 'backprop' has no such name there; "
        f"expected one of {list(EVERYONE)}. Correct the name."
    )
    assert refusal(PlacementError, lambda: spread(GRAMMAR, fuse=[("First", name)])) == text
    assert refusal(PlacementError, lambda: locate(GRAMMAR, Placement((("a", (*EVERYONE, name)),)))) == text


def test_only_players_have_agents(refusal):
    text = (
        "'Nature' is placed, but grammar 'backprop' has no such name there; "
        "expected one of ['First', 'Second', 'Norm', 'Last']. Correct the name."
    )
    assert refusal(PlacementError, lambda: spread(GRAMMAR, agents={"Nature": "far"})) == text
    placement = Placement((("a", EVERYONE), ("b", ())), (("Nature", "b"),))
    assert refusal(PlacementError, lambda: locate(GRAMMAR, placement)) == text


def test_whoever_has_no_place_is_refused(refusal):
    assert refusal(PlacementError, lambda: locate(GRAMMAR, Placement((("a", EVERYONE[:-1]),)))) == (
        f"'Loss' of grammar 'backprop' has no place; expected a worker for each of {list(EVERYONE)}. "
        "Name it under one of the workers ['a']."
    )
