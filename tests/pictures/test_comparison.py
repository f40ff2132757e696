"""Against another grammar, a picture shows what differs and nothing else."""

import torch
from torch.nn.functional import mse_loss

import antiphon
from antiphon.pictures.geometry import meetings
from antiphon.pictures.picture import Change, MarkKind
from antiphon.pictures.sheet import boxes, sheet_of


def changed(drawing) -> dict[str, Change]:
    marks = [mark for side in drawing.picture.sides for mark in side.marks]
    return {mark.id: mark.change for mark in marks if mark.change is not Change.SAME}


def arrows(drawing, change) -> set[tuple[str, str]]:
    every = [arrow for side in drawing.picture.sides for arrow in side.arrows]
    return {(arrow.source, arrow.target) for arrow in every if arrow.change is change}


def test_an_adversary_is_the_chain_rule_and_one_minus_sign(gan):
    drawing = antiphon.draw_edits(gan)
    assert drawing.differences == (
        "R + minus: map minus, into Forger: antiphon.grammars.maps:negate() of Curator#2 *",
        "R + Curator#2 * -> minus, into Forger: δ Forger [batch, 2]",
        "R + minus, into Forger -> Forger *: −δ Forger [batch, 2]",
    )
    assert drawing.picture.subtitles == ("Q: the same", "R: 1 mark more, 2 arrows more")


def test_seen_from_the_other_side_it_is_what_was_removed(gan):
    plain = antiphon.Grammar("plain", gan.query, antiphon.chain_rule(gan.query, gan.objective), gan.objective)
    drawing = antiphon.draw(plain, gan)
    assert changed(drawing) == {"R minus, into Forger": Change.REMOVED}
    assert arrows(drawing, Change.ADDED) == {("R Curator#2 *", "R Forger *")}


def test_a_broadcast_replaces_the_chain(broadcast):
    drawing = antiphon.draw_edits(broadcast)
    assert changed(drawing) == {"R broadcast Loss * 0": Change.ADDED, "R kick": Change.ADDED}
    assert arrows(drawing, Change.REMOVED) == {("R Layer2 *", "R Layer1 *")}


def test_two_edits_are_two_differences(five):
    drawing = antiphon.draw_edits(five)
    assert changed(drawing) == {"R scale": Change.ADDED}
    assert arrows(drawing, Change.REMOVED) == {("R Right *", "R Eye *")}


def test_a_learned_slope_replaces_a_derived_one(dac):
    drawing = antiphon.draw_edits(dac)
    assert changed(drawing) == {
        "R tap Deviator": Change.ADDED,
        "R ascend G": Change.ADDED,
        "R deviation *": Change.REMOVED,
    }


def test_nothing_differs_from_itself_and_backpropagation_has_no_edits(gan):
    layers = antiphon.dense_layers((64,), widths=[8], classes=10)
    plain = antiphon.backprop(antiphon.digits(batch=8), layers)
    assert antiphon.draw(gan, gan).differences == ()
    assert antiphon.draw_edits(plain).differences == ()
    assert antiphon.draw_edits(plain).picture.subtitles == ("Q: the same", "R: the same")


def test_another_operator_under_one_name_is_another():
    def network(widths):
        return antiphon.backprop(antiphon.digits(batch=8), antiphon.dense_layers((64,), widths=widths, classes=10))

    drawing = antiphon.draw(network([8]), network([9]))
    assert changed(drawing)["Q Dense1"] is Change.OTHER
    assert any(line.startswith("Q ~ operator: Dense1") for line in drawing.differences)


def test_strangers_are_drawn_together_and_nothing_overlaps(gan, five, broadcast, dac):
    for one, other in ((gan, five), (five, broadcast), (dac, gan)):
        drawing = antiphon.draw(one, other)
        assert list(meetings(boxes(sheet_of(drawing.picture)))) == []
        kinds = {mark.kind for side in drawing.picture.sides for mark in side.marks if mark.change is Change.REMOVED}
        assert MarkKind.PLAYER in kinds


def test_a_player_who_would_hear_nothing_of_the_chain_rule_is_shown_as_hearing_more():
    wide = antiphon.EdgeType((antiphon.Batch(), 2))
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", antiphon.arrays(torch.ones(4, 2), torch.ones(4, 1), batch=2))()
    eye = q.player("Eye", torch.nn.Linear, 2, 2)(x)
    lens = q.player("Lens", torch.nn.Linear, 2, 2)(x)
    objective = antiphon.minimise(q.loss("Loss", mse_loss)(q.player("Hand", torch.nn.Linear, 2, 1)(eye), y))
    r = antiphon.chain_rule(q, objective, answers={lens: lambda r: r.tap(lens)})
    drawing = antiphon.draw_edits(antiphon.Grammar("lens", q.graph(), r, objective))
    assert lens.type == wide
    assert changed(drawing) == dict.fromkeys(("R tap Lens", "R Lens *", "R deliver Lens"), Change.ADDED)
    assert list(meetings(boxes(sheet_of(drawing.picture)))) == []
