"""Finds the player, oracle or function whose code a process cannot import. Ray's own error only has a stack trace."""

from collections.abc import Mapping

from ray import cloudpickle

from antiphon.coordinator.plan.assignment import Assignment
from antiphon.errors import FOREIGN, ExperimentError, unstopped
from antiphon.grammars.response import Map


def pickled(assignment: Assignment) -> dict[str, bytes]:
    """Return the code of every player, oracle and function of a grammar, each pickled, by its name for error texts.

    Raises ExperimentError for code that cannot be pickled.
    """
    query, response = assignment.grammar.query, assignment.grammar.response
    parts = {f"player {each.name!r}": each.factory for each in query.players}
    parts |= {f"oracle {each.name!r}": each.declaration.factory for each in query.oracles}
    parts |= {f"{node.kind} {node.name!r}": node.operator for node in query.nodes if node.operator is not None}
    parts |= {f"function {each.name!r}": each.operation for each in response.nodes if isinstance(each, Map)}
    return {who: _pickled(who, code) for who, code in parts.items()}


def unreadable(parts: Mapping[str, bytes]) -> str:
    """Return which of the `pickled` parts cannot be unpickled in this process, and why; "" if all can be."""
    for who, code in parts.items():
        try:
            cloudpickle.loads(code)
        except FOREIGN as error:  # importing a module may raise anything, or exit
            return f"the code of {who}: {type(error).__name__}: {unstopped(error)}"
    return ""


def not_importable(actor: str, machine: str, found: str) -> ExperimentError:
    """Return the error for code that a process cannot import.

    actor: the process, such as "worker 'Actor'". machine: its address. found: the result of `unreadable`.
    """
    return ExperimentError(
        f"{actor} on machine {machine} cannot import {found}. Expected a module that every process of the run can "
        "import, not only the driver. Install it on every machine, or add its folder to PYTHONPATH before Ray starts, "
        "or use `antiphon launch`, which sends your modules to the cluster."
    )


def _pickled(who: str, code: object) -> bytes:
    try:
        return cloudpickle.dumps(code)  # pyright: ignore[reportPrivateImportUsage]  # public, says Ray
    except FOREIGN as error:  # the code of a user decides how its objects are pickled
        raise ExperimentError(
            f"the code of {who} cannot be sent to a worker: {type(error).__name__}: {unstopped(error)}. Expected a "
            "class or function with arguments that can be pickled. Open files and connections where the object is made."
        ) from error
