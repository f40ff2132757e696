"""Each single fault of R in every suite: it is caught, and the blame is on the node that is wrong."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from torch import Tensor

from antiphon.analysis.check import suite_of
from antiphon.checks.instance import Instance
from antiphon.checks.measure import measure
from antiphon.checks.measured import Measured
from antiphon.checks.mutants import all_faults
from antiphon.checks.recorded import RecordedRound
from antiphon.checks.suite import Case
from antiphon.grammars import Descent, Exact, Grammar, Guarantee, Insulated, Port, SignCorrect
from antiphon.grammars.maps import negate
from antiphon.grammars.query import Kind
from antiphon.grammars.response import Map, Product, Tap
from antiphon.recipes import LIBRARY

ONE_ROUND = (Exact, SignCorrect, Descent, Insulated)


def of_one_round(case: Case, seed: int) -> Grammar | None:
    """What is measured on a single round, if there is an exact promise among it."""
    grammar = case.make(seed)
    kept = tuple(each for each in grammar.guarantee.promises if isinstance(each, ONE_ROUND))
    return replace(grammar, guarantee=Guarantee(kept)) if any(isinstance(each, Exact) for each in kept) else None


def changed(right: list[RecordedRound], wrong: list[RecordedRound]) -> set[str]:
    """The players that are told something else, at perturbed parameters."""
    pairs = [(one, two) for one in right for two in wrong if one.number == two.number]
    return {
        player
        for one, two in pairs
        for player in one.responses
        if not same(one.responses[player], two.responses.get(player))
    }


def same(one: Tensor, two: Tensor | None) -> bool:
    return two is not None and bool((one - two).abs().max() <= 1e-9 * one.abs().max())


def culprits(kind: str, grammar: Grammar, mutant: Grammar, message: Port) -> set[str]:
    """The nodes of R that may be blamed: the one that was put in, or that asks or takes something else than before."""
    if kind == "swapped":
        before = {each.name: each.inputs for each in grammar.response.nodes}
        takers = {each.name: each.inputs for each in mutant.response.nodes if before[each.name] != each.inputs}
        moved = {port.node for name, inputs in takers.items() for port in {*inputs} ^ {*before[name]}}
        # The chain rule has no maps and no taps. Nothing says which end of their edge is wrong.
        ends = {name for name in moved if isinstance(grammar.response.by_name[name], Map | Tap)}
        # If players have losses of their own, the products of one node that are exchanged are right for another player.
        return {*takers} | ends | ({*grammar.response.by_name} if has_own_losses(grammar) else set())
    takers = {each.name for each in mutant.response.nodes if message in each.inputs}
    if kind in ("other use", "other owner"):  # or where what was told before is missing
        delivered = {each.name for each in mutant.response.deliveries if each.message.node in takers}
        return {message.node} | takers | delivered
    put_in = f"mutated {message!r}"
    if kind != "sign":
        return {put_in}
    minus = [each for each in mutant.response.nodes if isinstance(each, Map) and each.operation.target is negate]
    in_line = [each for each in minus if put_in in (each.name, each.inputs[0].node) or Port(each.name) == message]
    return {each.name for each in in_line}  # of two in a row nobody can say which was put in


def has_own_losses(grammar: Grammar) -> bool:
    """Whether a node has several products: one for each group of losses that belong to different players."""
    products = [each.of for each in grammar.response.nodes if isinstance(each, Product)]
    return len(products) > len(set(products))


def without_reference(grammar: Grammar) -> set[str]:
    """The products that have no reference for what they are told.

    The reference plays the steps of a truncated scan in another way. And no loss depends on a node that Q asks only for
    its product, as the layers with the signs of their weights.
    """
    taken = {port.node for node in grammar.query.nodes for port in node.inputs}
    products = [each for each in grammar.response.nodes if isinstance(each, Product)]
    alone = {each.name for each in grammar.query.nodes if each.kind is not Kind.LOSS} - taken
    return {each.name for each in products if each.truncation is not None or each.of in alone}


def mutants(name: str, seed: int) -> Iterator[tuple[str, set[str], list[Measured], set[str]]]:
    """(which fault, whom it must be noticed of, what fails, whom to blame) of each fault that changes a response."""
    for case in suite_of(name).cases:
        grammar = of_one_round(case, seed)
        if grammar is None:
            continue
        whole = Instance(grammar, seed, case.learning)
        promises = [each for each in grammar.guarantee.promises if isinstance(each, Exact)]
        exact = {player for each in promises for player in each.players or whole.players}
        for kind, message, mutant in all_faults(grammar):
            wrong = Instance(mutant, seed, case.learning)
            hit = changed(whole.places.perturbed, wrong.places.perturbed)
            if hit & exact:
                found = [each for promise in promises for each in measure(promise, wrong) if not each.kept]
                blame = culprits(kind, grammar, mutant, message) | without_reference(grammar)
                yield f"{case.name}: {kind} {message!r}", hit & exact, found, blame


def check_mutants(name: str, seed: int) -> dict[str, int]:
    """How many faults there are, are caught, and are blamed on the node that is wrong, for everyone who is told so."""
    count = {"faults": 0, "caught": 0, "blamed": 0}
    for _, hit, found, blame in mutants(name, seed):
        count["faults"] += 1
        count["caught"] += hit <= {each.player for each in found}
        count["blamed"] += all(each.operator in blame for each in found)
    return count


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", LIBRARY)
def test_each_single_fault_of_a_suite_is_caught_and_blamed_rightly(name: str):
    count = check_mutants(name, seed=0)
    assert count["faults"] == count["caught"] == count["blamed"] > 0, count


@pytest.mark.parametrize("name", ["supervised", "gray-box-descent"])
def test_each_single_fault_of_a_small_suite_is_caught_and_blamed_rightly(name: str):
    count = check_mutants(name, seed=1)
    assert count["faults"] == count["caught"] == count["blamed"] > 0, count
