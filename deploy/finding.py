"""Makes and checks the names of runs, and the names of their Ray namespaces."""

import re
import uuid
from typing import Any

import ray

from antiphon.errors import ClusterError

COORDINATOR = "coordinator"
PREFIX = "antiphon-"
"""The prefix of the namespace of every run."""


def namespace_of(run: str) -> str:
    """Return the Ray namespace of the actors of the run with this name."""
    return f"{PREFIX}{run}"


def run_of(namespace: str) -> str | None:
    """Return the name of the run that has this namespace; None if it is not a namespace of antiphon.

    >>> run_of("antiphon-mine"), run_of("serve")
    ('mine', None)
    """
    return namespace.removeprefix(PREFIX) if namespace.startswith(PREFIX) else None


def checked_name(name: str) -> str:
    """Return the name if it is a valid name of a run. Raises ClusterError otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", name):
        raise ClusterError(
            f"a run cannot be called {name!r}; expected up to 80 letters, digits, '-', '_' and '.', a letter or digit "
            "first. Choose another --name."
        )
    return name


def fresh_name(grammar: str) -> str:
    """Return a new, unique name for a run of a grammar.

    >>> fresh_name("my_module:make").startswith("my_module-make-")
    True
    """
    letters = re.sub(r"[^A-Za-z0-9_.-]", "-", grammar).strip("-._")
    return f"{letters[:60] or 'run'}-{uuid.uuid4().hex[:8]}"


def taken(name: str) -> ClusterError:
    """Return the error for a run's name that is already in use."""
    return ClusterError(
        f"the cluster has a run {name!r} already; expected a new name. "
        f"Choose another --name; `antiphon status {name}` tells of the one that is there."
    )


def check_free(run: str) -> None:
    """Raise ClusterError if a run with this name exists on the Ray that this process is connected to."""
    named: Any = ray.util.list_named_actors(all_namespaces=True)  # Any: the stub says strings, but these are mappings
    spaces = {each["namespace"] for each in named}
    if namespace_of(run) in spaces:
        raise taken(run)
