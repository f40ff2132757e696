"""Environments of workers' own processes (`runtime_env`): checked, and waited for, since Ray may install for long."""

import json
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RuntimeEnvSetupError
from ray.runtime_env import RuntimeEnv

from antiphon.coordinator.plan.placement import WorkerResources
from antiphon.errors import PlacementError

_RAYS_OWN = {"ray_release", "ray_commit", "inject_current_ray"}
_PATIENCE = 660.0
"""Seconds for an environment: a little more than Ray itself gives to one."""


def environment(worker: str, demand: WorkerResources) -> Mapping[str, Any]:  # Any: Ray's
    """A worker's runtime_env, as Ray takes it. Raises PlacementError for what Ray does not know or would refuse."""
    asked = json.loads(demand.runtime_env)
    known = sorted({field.removeprefix("_") for field in RuntimeEnv.known_fields} - _RAYS_OWN)
    strange = [key for key in asked if key not in known]
    if strange:
        raise PlacementError(
            f"the runtime_env of worker {worker!r} has {strange[0]!r}, which Ray does not know; expected some of "
            f"{', '.join(known)}. Correct the key."
        )
    try:
        return RuntimeEnv(**asked)
    except (TypeError, ValueError) as error:
        raise _refusal(worker, demand, str(error)) from None


def await_environments(
    demands: Mapping[str, WorkerResources], workers: Mapping[str, Any]
) -> None:  # Any: Ray's actor handles
    """Block until every worker with an environment of its own is there: before anybody answers within a deadline.

    Raises PlacementError with the reason for an environment that cannot be made.
    """
    for worker, demand in demands.items():
        if demand.runtime_env:
            try:
                ray.get(workers[worker].address.remote(), timeout=_PATIENCE)
            except RuntimeEnvSetupError as error:
                raise _refusal(worker, demand, _cause(str(error))) from None
            except GetTimeoutError:
                raise _refusal(worker, demand, f"nothing was heard of it within {_PATIENCE:g} s") from None


def _cause(text: str) -> str:
    """Of a report with a stack trace and the output of a command, the line that says what was wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ERROR: ")]
    return (told or lines or ["no reason was told"])[-1].removeprefix("ERROR: ")


def _refusal(worker: str, demand: WorkerResources, reason: str) -> PlacementError:
    return PlacementError(
        f"the runtime_env of worker {worker!r} cannot be set up: {reason.rstrip('.')}. Expected Ray to make "
        f"{demand.runtime_env}; correct it, or what it names."
    )
