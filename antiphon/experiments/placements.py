"""Make a placement from a name, a file or keywords, and determine the machine of each worker."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from antiphon.coordinator.plan.placement import Placement, Strategy
from antiphon.errors import ExperimentError
from antiphon.experiments.placement_table import PlacementTable
from antiphon.experiments.toml_io import parse_toml
from antiphon.experiments.validation import validated
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.typed import typed


@typed
def place(
    grammar: Grammar,
    *,
    strategy: Literal["pack", "spread", "strict_spread"] = "pack",
    fuse: Iterable[Iterable[str]] = (),
    logical_gpus: bool = False,
    of: Mapping[str, Mapping[str, Any]] | None = None,  # Any: the keys of a place
) -> Placement:
    """Make a placement. The keywords are the keys of an experiment's table [placement].

    strategy: how workers are distributed over machines. fuse: groups of players, oracles or losses with one worker.
    logical_gpus: if true, GPUs are only counted, and everything is computed on CPUs.
    of: settings for each player, oracle or loss, with the keys num_cpus, num_gpus, resources and node, and for players
    also replicas, sharded, accept_batch_coupling, precision and remote_agent.
    Raises ExperimentError for a wrong key or value, PlacementError for unknown names and for contradictions.
    """
    raw = {"strategy": strategy, "fuse": _lists(fuse), "logical_gpus": logical_gpus, "of": of or {}}
    return validated(PlacementTable, raw, "the placement").placement(grammar)


def _lists(value: Any) -> Any:  # Any: groups of names, or a wrong value, which validation refuses
    return [_lists(each) for each in value] if isinstance(value, list | tuple) else value


def placement_named(name: str, everyone: Callable[[], Sequence[str]]) -> dict[str, Any] | None:  # Any: TOML
    """Return the table [placement] that `name` stands for; None for "own", which means the experiment's table.

    name: "spread" (one worker for each part, no resources), "together" (one worker for all parts), "own", or the path
    of a TOML file with the keys of the table.
    everyone: returns the names of all players, oracles and losses.
    Raises ExperimentError for another name, or a file that cannot be parsed.
    """
    if name == "own":
        return None
    if name == "spread":
        return {}
    if name == "together":
        return {"fuse": [list(everyone())]}
    if not name.endswith(".toml"):
        raise ExperimentError(
            f"placement {name!r} is not known; expected 'own', 'spread', 'together', or a path to a .toml file. "
            "Name one of these."
        )
    title = f"placement {name!r}"
    raw = parse_toml(Path(name), title)
    validated(PlacementTable, raw, title)
    return raw


def machines(placement: Placement, found: Mapping[str, str]) -> Mapping[str, str]:
    """Return the machine of each worker.

    This is the address in the placement if the worker has one. Otherwise it is a separate machine for each worker under
    strict_spread, and the machine in `found` under the other strategies.
    """
    own = placement.strategy is Strategy.STRICT_SPREAD
    return {
        worker: demand.node
        if demand.node and isinstance(demand.node, str)
        else f"machine of {worker}"
        if own
        else found[worker]
        for worker, demand in placement.resources_of.items()
    }
