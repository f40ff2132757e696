"""Runs on a cluster: the names under which they are found there."""

import re
import uuid
from typing import Any

import ray

from antiphon.errors import ClusterError

COORDINATOR = "coordinator"
PREFIX = "antiphon-"
"""Of the namespace of every run."""


def namespace_of(run: str) -> str:
    """Where the actors of a run have their names."""
    return f"{PREFIX}{run}"


def run_of(namespace: str) -> str | None:
    """The run of a namespace; None for one of somebody else.

    >>> run_of("antiphon-mine"), run_of("serve")
    ('mine', None)
    """
    return namespace.removeprefix(PREFIX) if namespace.startswith(PREFIX) else None


def checked_name(name: str) -> str:
    """The name, if a run can have it. Raises ClusterError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", name):
        raise ClusterError(
            f"a run cannot be called {name!r}; expected up to 80 letters, digits, '-', '_' and '.', a letter or digit "
            "first. Choose another --name."
        )
    return name


def fresh_name(grammar: str) -> str:
    """A name for a run of a grammar that no other run has.

    >>> fresh_name("my_module:make").startswith("my_module-make-")
    True
    """
    letters = re.sub(r"[^A-Za-z0-9_.-]", "-", grammar).strip("-._")
    return f"{letters[:60] or 'run'}-{uuid.uuid4().hex[:8]}"


def taken(name: str) -> ClusterError:
    """The error of a name in use."""
    return ClusterError(
        f"the cluster has a run {name!r} already; expected a new name. "
        f"Choose another --name; `antiphon status {name}` tells of the one that is there."
    )


def check_free(run: str) -> None:
    """Raises ClusterError when a run of this name is played on the Ray that this process is connected to."""
    named: Any = ray.util.list_named_actors(all_namespaces=True)  # Any: mappings here, whatever its stub says
    spaces = {each["namespace"] for each in named}
    if namespace_of(run) in spaces:
        raise taken(run)
