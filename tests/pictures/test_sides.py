"""A grammar as marks and arrows: every node is there once, in the shape of what it is, each edge as what it carries."""

from antiphon.experiments.load import read_experiment
from antiphon.grammars.oracle import Box
from antiphon.grammars.query import Kind
from antiphon.grammars.random_grammars import sample_grammar
from antiphon.pictures.drawing import draw_edits
from antiphon.pictures.of_grammar import picture_of
from antiphon.pictures.picture import Line, MarkKind


def kinds(side) -> dict[str, MarkKind]:
    return {mark.id: mark.kind for mark in side.marks}


def ends(side, line) -> set[tuple[str, str]]:
    return {(arrow.source, arrow.target) for arrow in side.arrows if arrow.line is line}


def test_the_adversaries_node_by_node(gan):
    picture = picture_of(gan)
    assert kinds(picture.sides[0]) == {
        "Q Environment.sample": MarkKind.BLACK,
        "Q Noise.sample": MarkKind.NOISE,
        "Q Forger": MarkKind.OPERATOR,
        "Q Curator": MarkKind.OPERATOR,
        "Q Curator#2": MarkKind.OPERATOR,
        "Q L": MarkKind.LOSS,
        "Q plays Forger": MarkKind.PLAYER,
        "Q plays Curator": MarkKind.PLAYER,
    }
    assert kinds(picture.sides[1]) == {
        "R d L": MarkKind.SEED,
        "R L *": MarkKind.PRODUCT,
        "R Curator *": MarkKind.PRODUCT,
        "R Curator#2 *": MarkKind.PRODUCT,
        "R Forger *": MarkKind.PRODUCT,
        "R minus, into Forger": MarkKind.MINUS,
        "R sum for Curator": MarkKind.SUM,
        "R deliver Forger": MarkKind.PLAYER,
        "R deliver Curator": MarkKind.PLAYER,
    }


def test_a_player_plays_into_each_of_its_operators(gan):
    assert ends(picture_of(gan).sides[0], Line.PARAMETERS) == {
        ("Q plays Forger", "Q Forger"),
        ("Q plays Curator", "Q Curator"),
        ("Q plays Curator", "Q Curator#2"),
    }


def test_arrows_tell_symbol_and_shape(gan):
    picture = picture_of(gan)
    said = {arrow.id: (arrow.symbol, arrow.shape) for side in picture.sides for arrow in side.arrows}
    assert said["Q Environment.sample.0 > Q Curator.0"] == ("Environment", "[batch, 2]")
    assert said["R minus, into Forger.0 > R Forger *.0"] == ("−δ Forger", "[batch, 2]")
    assert said["R Forger *.-1 > R deliver Forger.0"] == ("δθ", "[10]")


def test_values_are_of_zeroth_order_and_gradients_of_first(dac):
    picture = picture_of(dac)
    assert {arrow.line for arrow in picture.sides[0].arrows} == {Line.ZEROTH, Line.PARAMETERS}
    assert ends(picture.sides[1], Line.ZEROTH) == {("R tap Deviator", "R ascend G"), ("R ascend G", "R Actor#2 *")}
    assert ("R BGE *", "R Critic *") in ends(picture.sides[1], Line.FIRST)


def test_passes_are_frames_and_clones_are_told_from_players(dac):
    side = picture_of(dac).sides[0]
    assert dict(side.frames) == {
        "frame act": "act: every 8 rounds",
        "frame learn": "learn: every round, from round 1000 on",
    }
    assert side.by_id["Q plays Critic~"].kind is MarkKind.CLONE
    assert side.by_id["Q plays Critic~"].lines == ("Critic~", "0.005 → Critic")
    assert side.by_id["Q Nature.step"].frame == "frame act"


def test_what_the_chain_rule_would_tell_and_r_does_not_is_a_cut(five, dac, gan):
    assert ends(picture_of(five).sides[1], Line.CUT) == {("R Right *", "R Eye *")}
    assert ends(picture_of(dac).sides[1], Line.CUT) == {
        ("R Critic *", "R Actor#2 *"),
        ("R Deviator *", "R Actor#2 *"),
        ("R BGE *", "R cut BGE * 5"),  # nobody is left there who could hear it
    }
    assert ends(picture_of(gan).sides[1], Line.CUT) == set()


def test_one_message_that_several_hear_is_a_broadcast(broadcast):
    side = picture_of(broadcast).sides[1]
    assert side.by_id["R broadcast Loss * 0"].kind is MarkKind.BROADCAST
    assert ends(side, Line.FIRST) >= {
        ("R Loss *", "R broadcast Loss * 0"),
        ("R broadcast Loss * 0", "R kick"),
        ("R broadcast Loss * 0", "R Layer2 *"),
    }


def test_a_users_own_grammar_is_drawn_without_touching_the_library(five):
    picture = picture_of(five)
    players = [mark.lines[0] for mark in picture.sides[0].marks if mark.kind is MarkKind.PLAYER]
    assert players == ["Eye", "Left", "Right", "Hand", "Foot"]
    assert (picture.sides[1].by_id["R scale"].kind, picture.sides[1].by_id["R scale"].sign) == (
        MarkKind.SCALE,
        "× −0.5",
    )


def test_every_node_and_every_edge_of_random_grammars_is_drawn_once():
    for seed in range(20):
        grammar = sample_grammar(seed)
        picture = picture_of(grammar)
        query, response = grammar.query, grammar.response
        ids = [mark.id for side in picture.sides for mark in side.marks]
        assert len(ids) == len(set(ids))
        assert {f"Q {node.name}" for node in query.nodes} <= set(ids)
        assert {f"R {node.name}" for node in response.nodes} <= set(ids)
        zeroth = [arrow for arrow in picture.sides[0].arrows if arrow.line is Line.ZEROTH]
        assert len(zeroth) == sum(len(node.inputs) for node in query.nodes)
        sent = [arrow for arrow in picture.sides[1].arrows if arrow.line is not Line.CUT]
        told = [arrow for arrow in sent if "R broadcast" not in arrow.target]
        assert len(told) == sum(len(node.inputs) for node in response.nodes)
        for node in query.nodes:
            if node.kind is Kind.ORACLE:
                drawn = picture.sides[0].by_id[f"Q {node.name}"].kind
                assert drawn is (MarkKind.BLACK if query.box_of(node) is Box.BLACK else MarkKind.GRAY)


def test_a_scan_is_drawn_once_with_its_loop_and_its_truncation_as_an_edit():
    small = {"recurrent.width": 4, "recurrent.context": 6, "recurrent.through": 3, "recurrent.every": 2}
    grammar = read_experiment("recurrent", small).build()
    q, r = picture_of(grammar).sides
    assert q.by_id["Q Cell1"].kind is MarkKind.SCAN and "6 steps" in q.by_id["Q Cell1"].lines
    assert r.by_id["R Cell1 *"].kind is MarkKind.TRUNCATED and "BPTT(3; 2)" in r.by_id["R Cell1 *"].lines
    (edit,) = draw_edits(grammar).differences
    assert edit.startswith("R ~ truncated product") and "BPTT(3; 2)" in edit
