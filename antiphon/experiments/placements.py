"""Make a placement of a grammar from a name, a file or keywords, and find the machine of each worker."""

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
    """Make a placement of a grammar: which worker holds which players, and with which resources.

    The keywords are those of the table [placement] of an experiment.
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
    """Return the table [placement] for a name that the user gave.

    name: "spread" (one worker for each part, no resources), "together" (one worker for all parts), the path of a TOML
    file with the keys of the table, or "own". For "own", the result is None: the experiment's own table is kept.
    everyone: a function that returns the names of all players, oracles and losses.
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
    """Return the name of the machine of each worker, for reports.

    found: the address of the machine on which each worker runs now. A worker whose placement has an address gets this
    address. Of the other workers, each gets a made-up machine of its own if the strategy is strict_spread; otherwise
    its machine in `found`.
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
