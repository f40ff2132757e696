"""Checks the `runtime_env` of each worker, and waits for its setup, because an installation can take minutes."""

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
"""Seconds to wait for an environment: a little more than Ray's own limit."""


def environment(worker: str, demand: WorkerResources) -> Mapping[str, Any]:  # Any: Ray's
    """Return a worker's runtime_env for Ray. Raises PlacementError for keys or values that Ray does not accept."""
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
    """Block until every worker with its own runtime_env answers. Call this before any call with a short deadline.

    Raises PlacementError with the reason if an environment cannot be set up.
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
    """Return the line with the cause from Ray's error text, which has a stack trace and the output of a command."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ERROR: ")]
    return (told or lines or ["no reason was told"])[-1].removeprefix("ERROR: ")


def _refusal(worker: str, demand: WorkerResources, reason: str) -> PlacementError:
    return PlacementError(
        f"the runtime_env of worker {worker!r} cannot be set up: {reason.rstrip('.')}. Expected Ray to make "
        f"{demand.runtime_env}; correct it, or what it names."
    )
