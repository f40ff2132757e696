"""The request to end a run, in Ray's control store. So it is not lost if the coordinator dies."""

from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_exists

ENDING = "antiphon-end-"
"""First part of the key of a request. The name of the run follows."""


def is_asked(run: str) -> bool:
    """Return whether another process, such as `antiphon stop`, has asked the run with this name to end."""
    return bool(_internal_kv_exists(f"{ENDING}{run}"))


def forget(run: str) -> None:
    """Remove the request to end the run with this name, if there is one."""
    _internal_kv_del(f"{ENDING}{run}")
