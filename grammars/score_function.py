"""The score-function response (REINFORCE) of stochastic nodes: gradients of log-densities, times the costs downstream.

Schulman et al. 2015, Gradient estimation using stochastic computation graphs, theorem 1. Williams 1992, Simple
statistical gradient-following algorithms for connectionist reinforcement learning.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from antiphon.errors import BlackBoxError, GrammarError, ShapeError
from antiphon.grammars.draft import Value
from antiphon.grammars.maps import over_batch, scale, shows_nonfinite
from antiphon.grammars.objective import Term
from antiphon.grammars.query import Kind, Node, Port, QueryGraph
from antiphon.grammars.stochastic import density_of, is_pathwise, is_stochastic
from antiphon.grammars.typed import typed
from antiphon.grammars.walks import reached
from antiphon.grammars.writing import Message, ResponseDraft

if TYPE_CHECKING:
    from antiphon.grammars.chain_rule import Upstream


@typed
@final
@dataclass(frozen=True)
class Scored:
    """An edit by which a stochastic node responds with its score function: see the function `score`.

    value: the sample. baseline: a value that is subtracted from the costs downstream; None for no baseline.
    """

    value: Port
    baseline: Port | None = None

    def __call__(self, upstream: "Upstream") -> Message:
        """Return the message unchanged: `chain_rule` itself sends no gradient to the sample."""
        return upstream.message


@typed
def score(value: Value, baseline: Value | None = None) -> Scored:
    """Return an edit by which a stochastic node responds with its score function, instead of along the sample's path.

    value: what the handle of `QueryDraft.sample` returned. No gradient passes through it. The density's parameters
    receive, for each example, the gradient of the log-density times (cost - baseline) / batch. The cost is the sum of
    the losses that depend on the sample, with the sign of the objective. It is that of the example alone, so such a
    loss has to be `torch.mean` of costs, (batch, ...). For a sample without a batch, it is the loss itself.

    The mean of the response over samples is the gradient of the mean loss (Schulman et al. 2015). This holds if no
    example depends on the samples of others. baseline: a value with one number for each example, that does not depend
    on the sample. It changes the variance, and not the mean; best is a prediction of the cost.

    Raises GrammarError or ShapeError, when the Response graph is written, for a value that was not sampled, for a
    baseline that depends on the sample, and if no loss depends on the sample.
    """
    return Scored(value.port, None if baseline is None else baseline.port)


@shows_nonfinite
def each_over_batch(message: Tensor, factor: float) -> Tensor:
    """Return the mean of the numbers of each example, times `factor / batch`: (batch, ...) -> (batch,)."""
    return over_batch(message.flatten(1).mean(1), factor)


@final
class Scores:
    """Writes the score-function responses of a Response graph.

    density: the log-density of each such sample, by the sample.
    """

    def __init__(self, query: QueryGraph, draft: ResponseDraft, edits: Sequence[Any]) -> None:  # Any: edits of any kind
        self._query, self._draft = query, draft
        self._scored = [edit for edit in edits if isinstance(edit, Scored)]
        self._sent: dict[tuple[Port, float], Message] = {}
        self._based: set[tuple[Port, int]] = set()
        self.density: Mapping[Port, Port] = {each.value: self._density(each) for each in self._scored}

    def messages(self, term: Term, ways: Mapping[Port, int]) -> Iterator[tuple[Port, Message]]:
        """Write the messages about log-densities that one term of the objective causes.

        Yield (log-density, message) for each loss of the term that depends on the sample, and for the baseline. ways:
        the number of the way of each value; 0 if its gradient leads to no player of the term.
        """
        for scored in self._scored:
            density = self.density[scored.value]
            below = [port for port in term.losses if self._depends(port, scored.value, term.held)]
            if below and ways.get(density):
                yield from ((density, self._cost(scored.value, port, term.sign)) for port in below)
                if scored.baseline is not None and (density, ways[density]) not in self._based:
                    self._based.add((density, ways[density]))  # once, if several terms take the same way
                    yield density, self._shared(scored.baseline, -term.sign, f"baseline {scored.baseline!r}")

    def refuse_unheard(self, said: Mapping[Port, object]) -> None:
        """Raise GrammarError if a log-density has received no message. said: the messages by value."""
        for value, density in self.density.items():
            if density not in said:
                raise GrammarError(
                    f"the score function of {value!r} responds to no loss; expected a loss of the objective that "
                    "depends on it, in a term of a player that computes its density's parameters. Connect the sample "
                    "to a loss, or remove `score`."
                )

    def _depends(self, value: Port, sample: Port, held: Sequence[Port] = ()) -> bool:
        """Return whether a value depends on a sample, on a way past no value that is held fixed."""
        return sample not in held and sample in reached(
            [value], lambda port: [] if port in held else self._causes(port)
        )

    def _causes(self, port: Port) -> list[Port]:
        """Return the values on which a value depends directly. An oracle remembers what it was asked before."""
        node, nodes = self._query.by_name[port.node], self._query.nodes
        earlier = nodes[: nodes.index(node)] if node.kind is Kind.ORACLE else ()
        return [each for one in (node, *earlier) if one.owner == node.owner for each in one.inputs]

    def _cost(self, sample: Port, loss: Port, sign: float) -> Message:
        """Return the message about a log-density that a loss sends: the costs of the examples / batch, or the loss."""
        if not self._query.type_of(self.density[sample]).shape:
            return self._shared(loss, sign, f"cost {loss!r}")
        node = self._query.by_name[loss.node]
        found = node.operator is not None and node.operator.target is torch.mean and len(node.inputs) == 1
        if not found or self._rows(node.inputs[0]) != self._rows(self.density[sample]):
            raise GrammarError(
                f"the score function of {sample!r} needs the cost of each example, and loss {loss.node!r} is "
                f"{node.operator!r} of {', '.join(repr(self._query.type_of(port)) for port in node.inputs)}; expected "
                "torch.mean of costs, (batch, ...). Compute the costs with `operator` (`reduction='none'`), and the "
                "loss with `loss(name, torch.mean)`."
            )
        return self._shared(node.inputs[0], sign, f"cost {node.inputs[0]!r}")

    def _shared(self, port: Port, factor: float, name: str) -> Message:
        """Return the message that a value sends to all log-densities: its numbers times `factor`, over the batch."""
        if (port, factor) not in self._sent:
            shape, told = self._query.type_of(port).shape, self._draft.tap(port)
            how = scale if not shape else over_batch if len(shape) == 1 else each_over_batch
            sign = "minus " if factor < 0 else ""
            self._sent[port, factor] = self._draft.map(how, told, name=f"{sign}{name}", factor=factor)
        return self._sent[port, factor]

    def _rows(self, port: Port) -> tuple[Any, ...]:  # Any: dimensions
        return self._query.type_of(port).shape[:1]

    def _density(self, scored: Scored) -> Port:
        found = density_of(self._query, scored.value)
        if found is None:
            node = self._query.by_name.get(scored.value.node)
            who = "nobody of the Query graph" if node is None else f"the {node.kind} {node.owner!r}"
            raise GrammarError(
                f"score was given {scored.value!r}, which {who} computed without a density; expected a sample, "
                "because the response is the gradient of its log-density. Sample it with `q.sample(name, density)`."
            )
        if scored.baseline is not None:
            self._refuse_baseline(scored.value, scored.baseline, found)
        return found

    def _refuse_baseline(self, sample: Port, baseline: Port, density: Port) -> None:
        if baseline.node not in self._query.by_name or self._depends(baseline, sample):
            raise GrammarError(
                f"the baseline {baseline!r} of {sample!r} depends on the sample, or is of another Query graph; "
                "expected a value that does not depend on it, because the mean response would not be the gradient. "
                "Compute the baseline from the inputs of the density."
            )
        kind, rows = self._query.type_of(baseline), self._rows(density)
        if not kind.has_gradient or kind.shape[:1] != rows or any(size != 1 for size in kind.shape[1:]):
            raise ShapeError(
                f"the baseline {baseline!r} of {sample!r} is {kind!r}; expected one real number for each example, "
                f"{[*rows]} or {[*rows, 1] if rows else []}. Give the player that predicts the cost one output."
            )


def refuse_pathless(query: QueryGraph, node: Node) -> None:
    """Raise BlackBoxError if a node is stochastic, and its sample is no differentiable function of its parameters."""
    if not is_stochastic(node) or is_pathwise(node):
        return
    players = sorted(query.players_above(Port(node.name)))
    density = dict(node.operator.keywords)["density"] if node.operator else None
    raise BlackBoxError(
        f"the chain rule needs a gradient of the sample {node.name!r} on the way to player {players[0]!r}; expected a "
        f"density that can be reparametrised, and {density!r} cannot. Let the node respond with its score function "
        "(`edit=score(value)`), hold the sample fixed (`held=[value]`), or sample from another density."
    )
