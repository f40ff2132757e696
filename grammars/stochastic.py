"""Stochastic nodes of the Query graph: a node samples its value from a density, whose parameters are its inputs.

Schulman et al. 2015, Gradient estimation using stochastic computation graphs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.distributions import Distribution

from antiphon.errors import ShapeError
from antiphon.grammars.asking import check_values
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import Inferred, make_operator
from antiphon.grammars.query import Kind, Node, Port, QueryGraph
from antiphon.grammars.types import Batch, EdgeType

if TYPE_CHECKING:
    from antiphon.grammars.draft import Value

SAMPLE, DENSITY = 0, 1
"""The outputs of a stochastic node: the sample, and its log-density."""


def sampled(
    *parameters: Tensor, density: Factory, named: tuple[str, ...], batched: bool, pathwise: bool
) -> tuple[Tensor, Tensor]:
    """Sample a value from a density, and return the sample and its log-density at these parameters.

    density: makes the `torch.distributions.Distribution`; it takes the parameters, and then the factory's arguments.
    named: the names of the last parameters, which are passed as keywords. batched: whether the first dimension is the
    batch. The log-density of each example is then a sum over all other dimensions, (batch,); else it is 0-d. pathwise:
    whether the sample is a differentiable function of the parameters (`rsample`). In the log-density, the sample is a
    constant. So the gradient of the log-density is the score. torch's random stream gives the sample.
    """
    made = _made(parameters, density, named)
    value = made.rsample() if pathwise else made.sample()
    log = made.log_prob(value.detach())
    if not batched:
        return value, log.sum()
    return value, log.flatten(1).sum(1) if log.dim() > 1 else log


def _made(parameters: Sequence[Tensor], density: Factory, named: tuple[str, ...]) -> Distribution:
    given, last = parameters[: len(parameters) - len(named)], parameters[len(parameters) - len(named) :]
    keywords = {**dict(density.keywords), **dict(zip(named, last, strict=True))}
    made: Any = density.target(*given, *density.arguments, **keywords)  # Any: what the factory of a user makes
    if not isinstance(made, Distribution):
        raise TypeError(f"{density!r} made a {type(made).__name__}, not a torch.distributions.Distribution")
    return made


@dataclass(frozen=True)
class StochasticHandle:
    """A stochastic node in a draft of a Query graph. Call it on the parameters of its density to sample a value."""

    draft: Any  # Any: a QueryDraft, whose module imports this one
    name: str
    density: Factory

    def __call__(self, *parameters: "Value", **named: "Value") -> "Value":
        """Sample a value from the density with these parameters. Returns the sample.

        parameters, named: values of the draft, in the order and with the names of the density's own arguments. Raises
        ShapeError for parameters that do not fit the density, or from which it does not draw one sample per example.
        """
        given, who = (*parameters, *named.values()), f"stochastic node {self.name!r}"
        check_values(who, self.draft._values, given, {})
        factory, inferred = self._inferred(who, given, tuple(named))
        _refuse_misfits(who, self.density, [each.type for each in given], inferred.outputs)
        made = make_operator, factory
        sample, *_ = self.draft._add(Kind.OPERATOR, self.name, given, inferred.outputs, made, operator=factory)
        return sample

    def _inferred(self, who: str, given: "Sequence[Value]", named: tuple[str, ...]) -> tuple[Factory, Inferred]:
        """Return the node's operator, and the types of its outputs. It is pathwise if the density can be."""
        batched, pathwise = any(_batches(each.type)[:1] == [0] for each in given), False

        def made(factory: Factory) -> Callable[..., tuple[Tensor, Tensor]]:
            def play(*values: Tensor) -> tuple[Tensor, Tensor]:
                nonlocal pathwise
                pathwise = _made(values, self.density, named).has_rsample  # an instance may know more than its class
                return sampled(*values, density=self.density, named=named, batched=batched, pathwise=pathwise)

            return play

        inferred = self.draft._infer(who, (made, self.density), tuple(given))
        keywords = {"named": named, "batched": batched, "pathwise": pathwise}
        return Factory.of(sampled, density=self.density, **keywords), inferred


def is_stochastic(node: Node) -> bool:
    """Return whether a node of the Query graph samples its value from a density (`QueryDraft.sample`)."""
    return node.operator is not None and node.operator.target is sampled


def is_pathwise(node: Node) -> bool:
    """Return whether the sample of a stochastic node is a differentiable function of the density's parameters."""
    return node.operator is not None and bool(dict(node.operator.keywords).get("pathwise"))


def density_of(query: QueryGraph, sample: Port) -> Port | None:
    """Return the log-density of a sample, as a port of the Query graph; None if the value is no sample."""
    node = query.by_name.get(sample.node)
    return Port(sample.node, DENSITY) if node and is_stochastic(node) and sample.index == SAMPLE else None


def _batches(kind: EdgeType) -> list[int]:
    """Return the positions of the symbolic dimensions of a type."""
    return [place for place, size in enumerate(kind.shape) if isinstance(size, Batch)]


def _refuse_misfits(who: str, density: Factory, given: Sequence[EdgeType], drawn: Sequence[EdgeType]) -> None:
    """Raise ShapeError unless there is one sample for each example of the batch, if the parameters have a batch."""
    batches = {each.shape[0] for each in given if _batches(each)[:1] == [0]}
    sample, log = drawn
    fits = _batches(sample) == [0] and log.shape == sample.shape[:1] and {*log.shape} == batches
    if fits if batches else not _batches(sample):
        return
    raise ShapeError(
        f"{who} draws {sample!r} from {density!r} with parameters {', '.join(map(repr, given))}, and the log-density "
        f"is {log!r}; expected one sample and one log-density for each example: (batch, ...) and (batch,). Give all "
        "parameters the batch as their first dimension, and equal numbers of dimensions; the probabilities of a choice "
        "are (batch, choices)."
    )
