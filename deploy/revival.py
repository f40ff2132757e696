"""Waits for answers of Ray actors, notices stalled actors, and waits until Ray has started dead actors again."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import ray
from ray.exceptions import ActorDiedError, RayActorError

from antiphon.coordinator.versions import not_installed
from antiphon.errors import RoundError, WorkerDied, WorkerStalled

Actors: TypeAlias = Mapping[str, Any]  # Any: Ray's actor handles have no common type

_LOOK, _AGAIN = 1.0, 0.02
"""Seconds between two checks of a wait, and before an actor that Ray starts again is called again."""
_NEWS = 3.0
"""Seconds after an actor's death until `check` can tell whether all of Ray is lost."""
START = 120.0
"""Seconds for Ray to start an actor again: with its packages, and on another node if its own is gone."""


def answered(
    calls: Mapping[str, Any], actors: Actors, patience: float, check: Callable[[], None]
) -> dict[str, Any]:  # Any: Ray's references, and their results
    """Return the result of each call in `calls`. Blocks until all have returned, or one raises an error.

    calls: Ray's references, by name of the actor that was called. actors: the actors that must answer meanwhile, by
    name. patience: seconds within which they must answer. check: a function that is called at once, and then about once
    a second. It may raise an error to end the wait.
    Raises WorkerStalled for an actor that does not answer in time, WorkerDied for one that has died, and VersionError
    if antiphon cannot be imported on its machine.
    """
    names, pulses = {call: name for name, call in calls.items()}, dict[Any, tuple[str, float]]()
    found, waiting = dict[str, Any](), list(names)
    check()
    while True:
        ready, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_LOOK)
        for call in ready:
            try:
                found[names[call]] = ray.get(call)
            except RayActorError as error:
                raise not_installed(f"{names[call]!r}", error) or _gone(names[call]) from None
        if not waiting:
            return found
        check()
        _check_pulses(pulses, actors, patience)


def _check_pulses(pulses: dict[Any, tuple[str, float]], actors: Actors, patience: float) -> None:
    """Raise WorkerStalled for an actor that has not answered for `patience` seconds. Ask all others again.

    pulses: name of the actor and time of each request that is not answered yet.
    """
    now = time.monotonic()
    for pulse in ray.wait(list(pulses), num_returns=len(pulses), timeout=0)[0] if pulses else []:
        del pulses[pulse]
    late = sorted(name for name, since in pulses.values() if now - since > patience)
    if late:
        raise WorkerStalled(
            f"{late[0]!r} stalled: it has not answered for {patience:g} s. Expected an answer at once, also while "
            "rounds are played. See whether its process is stopped, or its machine off, cut off, or too busy; resume "
            "the run from its last checkpoint.",
            worker=late[0],
        )
    asked = {name for name, _ in pulses.values()}
    pulses.update({actor.address.remote(): (name, now) for name, actor in actors.items() if name not in asked})


def revive(actors: Actors, calls: Mapping[str, Callable[[], Any]], patience: float, check: Callable[[], None]) -> None:
    """Call each actor until every actor has answered. If an actor dies, call it again.

    An actor that neither answers nor dies within `patience` seconds is killed, so that Ray starts it again.
    calls: functions that make the call and return Ray's reference, by name of the actor. check: as for `answered`.
    Raises WorkerDied if Ray does not start an actor again, RoundError if an actor does not come back in time.
    """
    started = time.monotonic()
    waiting, known_dead = {calls[name](): name for name in actors}, set[str]()
    while waiting:
        ready, _ = ray.wait(list(waiting), num_returns=1, timeout=_LOOK)
        check()
        for call in ready:
            name = waiting.pop(call)
            try:
                ray.get(call)
            except ActorDiedError as error:
                time.sleep(_NEWS)
                check()
                told = f"Ray does not start it again ({str(error).splitlines()[0]})"
                raise WorkerDied(_lost(name, told), worker=name) from error
            except RayActorError:
                known_dead.add(name)
                time.sleep(_AGAIN)
                waiting[calls[name]()] = name
        passed = time.monotonic() - started
        for name in sorted({*waiting.values()} - known_dead) if passed > patience else []:
            ray.kill(actors[name], no_restart=False)
            known_dead.add(name)
        if waiting and passed > patience + START:
            name = sorted(waiting.values())[0]
            raise RoundError(_lost(name, f"it has not come back within {START:g} s"), worker=name)


def _gone(name: str) -> WorkerDied:
    return WorkerDied(
        f"{name!r} died: its process is gone (killed, or out of memory). Expected it to answer. "
        "Resume the run from its last checkpoint.",
        worker=name,
    )


def _lost(name: str, reason: str) -> str:
    return (
        f"{name!r} died, and {reason}. Expected Ray to start it again, on another node if its own is gone. Give the "
        "cluster room for it, then resume the run from its last checkpoint."
    )
