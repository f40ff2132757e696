"""A placement by name or from a file: who is on which worker, and which workers are on which machine."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from antiphon.coordinator.placement import Placement, spread, together
from antiphon.errors import ExperimentError
from antiphon.experiment import Experiment
from antiphon.grammars.grammar import Grammar
from antiphon.tables import Table


@dataclass(frozen=True)
class Placed:
    """A placement, and the machine of each worker where that is known before the launch."""

    placement: Placement
    nodes: Mapping[str, str] | None = None


class PlacementTable(Table):
    """workers: who lives on each. agents: the worker of a player's agent. nodes: the workers on each machine."""

    workers: dict[str, list[str]]
    agents: dict[str, str] = Field(default={})
    nodes: dict[str, list[str]] = Field(default={})


def placed(name: str, experiment: Experiment, grammar: Grammar) -> Placed:
    """The placement `name` of a grammar: "spread" (a worker each, as the experiment fuses them), "together", or a TOML
    file with the tables of `PlacementTable`.

    Raises ExperimentError for another name or a file that does not parse, PlacementError for one that does not fit.
    """
    if name == "spread":
        agents = experiment.agent_tables(grammar)
        apart = {player: table.worker for player, table in agents.items() if table.worker is not None}
        return Placed(spread(grammar, experiment.fuse, apart))
    if name == "together":
        return Placed(together(grammar))
    if not name.endswith(".toml"):
        raise ExperimentError(
            f"placement {name!r} is not known; expected 'spread', 'together', or a path to a .toml file. "
            "Name one of these."
        )
    return _read(name)


def _read(name: str) -> Placed:
    try:
        table = PlacementTable.model_validate(tomllib.loads(Path(name).read_text()))
    except OSError as error:
        raise ExperimentError(
            f"placement {name!r} cannot be read: {error.strerror}. Expected a TOML file; correct the path."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExperimentError(f"placement {name!r} is not TOML: {error}. Correct that line.") from None
    except ValidationError as error:
        raise ExperimentError(f"placement {name!r} is refused: {_refusal(error)}") from None
    workers = tuple((worker, tuple(hosts)) for worker, hosts in table.workers.items())
    placement = Placement(workers, tuple(table.agents.items()))
    return Placed(placement, _nodes(name, table) if table.nodes else None)


def _refusal(error: ValidationError) -> str:
    problem: dict[str, Any] = dict(error.errors(include_url=False)[0])  # Any: pydantic's own description
    key = ".".join(map(str, problem["loc"]))
    return (
        f"key {key!r}: {problem['msg']}. Expected the tables [workers] (worker = list of who lives there), [agents] "
        "(player = worker) and [nodes] (machine = list of workers). Correct it."
    )


def _nodes(name: str, table: PlacementTable) -> Mapping[str, str]:
    found = {worker: node for node, workers in table.nodes.items() for worker in workers}
    strange = sorted(set(table.workers) ^ set(found))
    if strange or len(found) < sum(map(len, table.nodes.values())):
        twice = [worker for worker in found if sum(worker in each for each in table.nodes.values()) > 1]
        raise ExperimentError(
            f"placement {name!r} is refused: table [nodes] does not have {(strange or twice)[0]!r} once; expected each "
            f"of {sorted(table.workers)} on one machine. Correct [nodes]."
        )
    return found
