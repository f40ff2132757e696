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
