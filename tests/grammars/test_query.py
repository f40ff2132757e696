"""QueryGraph: by hand or from a draft, what is no round is refused."""

import torch

from antiphon.errors import ExperimentError, GrammarError
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import Box
from antiphon.grammars.query import CloneDeclaration, Kind, NamedOracle, Node, Port, QueryGraph, QueryPass
from antiphon.grammars.random_grammars import TanhLayer, batch_of, medium, samples

HALF = batch_of(3)


def operator(name: str, *inputs: Port, query_pass: str = "round") -> Node:
    return Node(name, Kind.OPERATOR, name, inputs, (HALF,), query_pass, operator=Factory.of(torch.neg))


def asked(owner: str, question: str = "sample", kind: Kind = Kind.ORACLE) -> Node:
    return Node(owner, kind, owner, (), (HALF,), "round", question)


def test_a_cycle_is_refused(refusal):
    nodes = (operator("a", Port("b")), operator("b", Port("a")))
    assert refusal(GrammarError, lambda: QueryGraph(nodes, ())) == (
        "node 'a' takes b, which is asked later or depends on 'a' itself: a "
        "cycle. Expected every input to be asked earlier in the round; carry the value over to the next "
        "round through an oracle (a replay, a memory), or order the nodes by dependence."
    )


def test_a_node_that_takes_itself_is_refused(refusal):
    text = refusal(GrammarError, lambda: QueryGraph((operator("a", Port("a")),), ()))
    assert text.startswith("node 'a' takes a, which is asked later or depends on 'a' itself: a cycle.")


def test_an_input_from_nowhere_is_refused(refusal):
    for port, name in ((Port("b"), "b"), (Port("a", 1), "a.1"), (Port("a", -1), "a.-1")):
        nodes = (operator("a"), operator("c", port))
        assert refusal(GrammarError, lambda nodes=nodes: QueryGraph(nodes, ())) == (
            f"node 'c' takes {name}, which no node of this graph plays; "
            "expected an output of one of ['a', 'c']. Add the node, or connect another output."
        )


def test_a_name_used_twice_is_refused(refusal):
    twice = (
        "name 'a' is used twice; expected each player, oracle, operator and pass of a Query graph "
        "to have a name of its own. Rename one of them, or reuse the handle to ask the same one again."
    )
    oracle = NamedOracle("a", samples(4, (3,)))
    passes = (QueryPass("a"), QueryPass("a"))
    assert refusal(GrammarError, lambda: QueryGraph((operator("a"), operator("a")), ())) == twice
    assert refusal(GrammarError, lambda: QueryGraph((operator("a"),), (), (oracle,))) == twice
    assert refusal(GrammarError, lambda: QueryGraph((), (), (), (), passes)) == twice


def test_an_edge_from_a_pass_that_rests_is_refused(refusal):
    nodes = (operator("a", query_pass="act"), operator("b", Port("a"), query_pass="learn"))
    passes = (QueryPass("act", Cadence(2)), QueryPass("learn", Cadence(3)))
    assert refusal(GrammarError, lambda: QueryGraph(nodes, (), passes=passes)) == (
        "node 'b' of pass 'learn' takes a of pass 'act', which rests in some of its rounds; expected a pass that is "
        "played in all rounds of 'learn'. Ask both in the same pass, or carry the value through an oracle."
    )
    assert QueryGraph(nodes, (), passes=(passes[0], QueryPass("learn", Cadence(4, 6)))).nodes == nodes


def test_a_pass_that_is_not_declared_is_refused(refusal):
    assert refusal(GrammarError, lambda: QueryGraph((operator("a", query_pass="act"),), ())) == (
        "node 'a' belongs to pass 'act', which is not declared; "
        "expected one of ['round']. Declare the pass with its cadence."
    )


def test_conflicting_sizes_are_refused(refusal):
    oracles = (NamedOracle("Nature", samples(4, (3,))), NamedOracle("Noise", samples(5, (3,))))
    assert refusal(GrammarError, lambda: QueryGraph((), (), oracles)) == (
        "oracle 'Noise' plays 'batch' of size 5, but oracle 'Nature' plays it of size "
        "4; expected one size for one symbol. Give both the same size, or two symbols."
    )


def test_owners_and_questions_have_to_be_declared(refusal):
    oracle = NamedOracle("Nature", samples(4, (3,)))
    assert refusal(GrammarError, lambda: QueryGraph((asked("A", "", Kind.PLAYER),), ())) == (
        "node 'A' asks player 'A', which is not declared; expected one of []. Declare it before it is asked."
    )
    assert refusal(GrammarError, lambda: QueryGraph((asked("Nature", "act"),), (), (oracle,))) == (
        "oracle 'Nature' has no question 'act'; expected one of ['sample']. Ask one of these."
    )
    assert refusal(GrammarError, lambda: QueryGraph((), (), (), (CloneDeclaration("A~", "A"),))) == (
        "clone 'A~' is a copy of 'A', which is no player of this graph; expected one of []. Clone one of these."
    )


def test_a_clone_follows_by_a_fraction(refusal):
    for soft in (0.0, 1.5, -1.0):
        text = refusal(ExperimentError, lambda soft=soft: CloneDeclaration("A~", "A", soft))
        assert all(each in text for each in ("CloneDeclaration", str(soft), "'soft'", "above 0, at most 1"))
    assert CloneDeclaration("A~", "A", 1.0).soft == 1.0


def drawn() -> QueryGraph:
    q = QueryDraft()
    (x,) = [q.oracle("Nature", samples(4, (3,)))()]
    a = q.player("A", TanhLayer, 3, 3)
    bent = q.oracle("Medium", medium(3))(a(x))
    q.clone("A~", a, soft=0.1, cadence=Cadence(2))(bent)
    q.operator("neg", torch.neg)(a(bent))
    return q.graph()


def test_equal_construction_makes_equal_graphs():
    assert drawn() == drawn()
    assert hash(drawn()) == hash(drawn())
    assert len({drawn(), drawn()}) == 1


def test_what_a_graph_knows_of_itself():
    graph = drawn()
    assert graph.sizes == {"batch": 4}
    assert graph.type_of(Port("A#2")) == HALF
    assert graph.player_by_name["A"].space.shape == (12,)
    assert graph.box_of(graph.by_name["Nature.sample"]) is Box.BLACK
    assert graph.box_of(graph.by_name["Medium.bend"]) is Box.GRAY
    assert graph.box_of(graph.by_name["neg"]) is Box.GRAY


def test_influence_passes_oracles_and_not_clones():
    graph = drawn()
    assert graph.players_above(Port("Nature.sample")) == frozenset()
    assert graph.players_above(Port("Medium.bend")) == {"A"}
    assert graph.players_above(Port("A~")) == frozenset()


def test_a_graph_reads_as_a_list_of_questions():
    assert repr(drawn()) == (
        "Q:\n"
        "  Nature.sample = oracle Nature.sample () -> float64[batch, 3]\n"
        "  A = player A (Nature.sample) -> float64[batch, 3]\n"
        "  Medium.bend = oracle Medium.bend (A) -> float64[batch, 3]\n"
        "  A~ = clone A~ (Medium.bend) -> float64[batch, 3]\n"
        "  A#2 = player A (Medium.bend) -> float64[batch, 3]\n"
        "  neg = torch:neg() (A#2) -> float64[batch, 3]"
    )
