"""The steps of one round, for the HTML page of a picture: what to highlight in the picture at each step."""

from collections.abc import Iterator
from dataclasses import dataclass

from antiphon.coordinator.plan import steps
from antiphon.coordinator.plan.compile import compile_schedule
from antiphon.coordinator.plan.placement import Placement, locate, spread
from antiphon.coordinator.plan.steps import Step, Transfer, describe
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import Port
from antiphon.pictures.picture import Arrow, Change, Line, Picture
from antiphon.pictures.query_side import node_id, owner_id
from antiphon.pictures.response_side import broadcast_id, response_id
from antiphon.transport.message import Phase


@dataclass(frozen=True)
class Scene:
    """One step of a round, as shown on the HTML page of a picture.

    phase: phase of the round, such as "query". text: the step in words. workers: the worker that acts, or the sender
    and the receiver of a message. lights: ids of the marks (drawn nodes) and arrows to highlight.
    """

    phase: str
    text: str
    workers: tuple[str, ...]
    lights: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """The steps of one round in order (`scenes`), and the names of all workers."""

    workers: tuple[str, ...]
    scenes: tuple[Scene, ...]


def story_of(grammar: Grammar, picture: Picture) -> Story:
    """Return the steps of one round of a grammar, each with the parts of the picture to highlight.

    The steps are those of a schedule with one worker for each player, oracle and loss.
    """
    placement = spread(grammar)
    schedule = compile_schedule(grammar, placement)
    stage = _Stage(grammar, placement, picture)
    return Story(schedule.workers, tuple(stage.scene(step) for step in schedule.steps))


class _Stage:
    """Finds the marks (drawn nodes) and arrows of a picture that a step of the schedule uses."""

    def __init__(self, grammar: Grammar, placement: Placement, picture: Picture) -> None:
        self.worker_of = locate(grammar, placement)
        self.arrows = picture.arrows
        self.marks = {mark.id for mark in picture.marks}

    def scene(self, step: Step) -> Scene:
        """Return a step of the schedule with its text and the parts of the picture to highlight."""
        text = describe(step).split(maxsplit=1)[1]
        if isinstance(step, Transfer):
            workers, lights = step.workers, self._travelling(step)
        else:
            workers, lights = (step.worker,), self._acting(step)
        return Scene(step.phase.name.lower(), text, workers, tuple(dict.fromkeys(lights)))

    def _acting(self, step: Step) -> Iterator[str]:
        match step:
            case steps.Query():
                yield from self._with_inputs(node_id(step.node))
            case steps.Respond():
                yield from self._with_inputs(response_id(step.node))
            case steps.Move() | steps.Install():
                yield from self._known(owner_id(step.player), response_id(f"deliver {step.player}"))
            case steps.Follow():
                yield from self._known(owner_id(step.clone))
            case steps.Cut() | steps.Join() | steps.Contribute() | steps.Collect():
                slot = (step.reads or step.writes)[0]
                yield from self._known((node_id if step.phase is Phase.QUERY else response_id)(slot.port.node))

    def _with_inputs(self, mark: str) -> Iterator[str]:
        yield from self._known(mark)
        for arrow in self.arrows:
            if arrow.target == mark and arrow.line is not Line.CUT and arrow.change is not Change.REMOVED:
                yield arrow.id
                if arrow.source.startswith(("Q plays ", "R broadcast ")):
                    yield from self._with_inputs(arrow.source)

    def _travelling(self, step: Transfer) -> Iterator[str]:
        port = step.slot.port
        if step.phase is Phase.MOVE:
            yield from self._known(owner_id(port.node))
            return
        source = node_id(port.node) if step.phase is Phase.QUERY else response_id(port.node)
        yield from self._known(source)
        for arrow in self.arrows:
            if arrow.id.startswith(f"{source}.{port.index} > ") and self._received(arrow, step, port):
                yield arrow.id

    def _received(self, arrow: Arrow, step: Transfer, port: Port) -> bool:
        """Return whether a transfer step sends the value of an arrow to the worker at the arrow's target.

        If several workers take the value, each has its own transfer step and its own arrow.
        """
        if step.phase is not Phase.QUERY or arrow.target == broadcast_id(port):
            return arrow.change is not Change.REMOVED
        return self.worker_of.get(arrow.target.removeprefix("Q ")) == step.edge.target

    def _known(self, *ids: str) -> Iterator[str]:
        yield from (each for each in ids if each in self.marks)
