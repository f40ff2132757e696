"""Guarantee: promises as data."""

from antiphon.grammars.guarantee import Category, Guarantee, Promise, exact


def test_categories_are_told_once_in_order():
    learned, estimated = Promise(Category.LEARNED, "a"), Promise(Category.ESTIMATED, "b")
    assert Guarantee((learned, estimated, learned)).categories == (Category.LEARNED, Category.ESTIMATED)
    assert repr(Guarantee((learned, estimated))) == "learned + estimated"
    assert repr(Guarantee()) == "none"


def test_exact_names_its_players():
    (promise,) = exact("A", "B").promises
    assert (promise.category, promise.players) == (Category.EXACT, ("A", "B"))


def test_promises_go_to_those_in_a_players_place():
    promises = Guarantee((Promise(Category.LEARNED, "a", ("A", "B")), Promise(Category.EXACT, "b")))
    found = promises.regrouped(lambda player: ("C", "D") if player == "A" else ("D",))
    assert [promise.players for promise in found.promises] == [("C", "D"), ()]
