"""OracleDeclaration: what is known of an oracle before it lives."""

from antiphon.grammars.oracle import Oracle
from antiphon.grammars.random_grammars import Medium, Samples, medium, samples


def test_questions_are_found_by_name():
    declaration = samples(4, (3,))
    assert declaration.question("sample") is declaration.questions[0]
    assert declaration.question("act") is None


def test_make_hands_over_arguments_and_seed():
    oracle = samples(4, (3,)).make(seed=1)
    (first,), (again,) = oracle.answer("sample", (), 0), samples(4, (3,)).make(seed=1).answer("sample", (), 0)
    (other,) = samples(4, (3,)).make(seed=2).answer("sample", (), 0)
    assert first.shape == (4, 3)
    assert first.equal(again)
    assert not first.equal(other)


def test_oracles_keep_to_the_protocol():
    assert isinstance(Samples((4, 3), seed=0), Oracle)
    assert isinstance(Medium(3, seed=0), Oracle)
    assert medium(3).questions[0].box == "gray"
