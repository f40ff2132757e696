"""Compares the software versions on all machines of a run, before anything else is done. They must be equal."""

import re
import sys
from collections.abc import Mapping
from typing import TypeAlias

import torch

from antiphon.errors import VersionError

Installed: TypeAlias = tuple[str, Mapping[str, str]]
"""The address of a machine, and the versions of the software on it, by name."""

_FAILED_TO_IMPORT = "failed to import on the worker"
"""The text in Ray's error for an actor whose class cannot be imported."""


def versions() -> dict[str, str]:
    """Return the versions in this process: antiphon, torch (without build suffix) and Python (major and minor)."""
    # Not from package metadata: antiphon may have been shipped to this machine without it.
    package = sys.modules[__name__.partition(".")[0]].__version__
    python = ".".join(map(str, sys.version_info[:2]))
    return {"antiphon": package, "torch": torch.__version__.partition("+")[0], "python": python}


def check_versions(here: Installed, others: Mapping[str, Installed]) -> None:
    """Raise VersionError if a process has other software versions than the coordinator.

    here: machine and versions of the coordinator. others: machine and versions of each other process, by its name.

    >>> check_versions(("10.0.0.1", {"torch": "2.8.0"}), {"worker 'Actor'": ("10.0.0.2", {"torch": "2.8.0"})})
    """
    machine, expected = here
    for name, (other, found) in others.items():
        wrong = [what for what in expected if found.get(what) != expected[what]]
        if wrong:
            theirs = ", ".join(f"{what} {found.get(what, 'unknown')}" for what in wrong)
            ours = ", ".join(f"{what} {expected[what]}" for what in wrong)
            raise VersionError(
                f"{name} on machine {other} has {theirs}, and the coordinator on machine {machine} has {ours}; "
                f"expected the same on every machine of a run. Install {_remedy(wrong[0], expected)} on {other}, "
                "or launch with `antiphon launch`, which brings its own antiphon."
            )


def not_installed(name: str, error: object) -> VersionError | None:
    """Return a VersionError if Ray's `error` says that a machine cannot import antiphon or its dependencies, else None.

    name: name of the actor that was started on that machine, for the error text.
    """
    text = str(error)
    if _FAILED_TO_IMPORT not in text:
        return None
    found = re.search(r"\bip=([^,)]+)", text)
    machine = f"machine {found[1]}" if found else "a machine"
    last = next((line.strip() for line in reversed(text.splitlines()) if "Error: " in line), "")
    return VersionError(
        f"{name} was placed on {machine}, where antiphon cannot be imported: "
        f"{last}. Expected it, and what it depends on, on every machine of a run. Install it there, or launch with "
        "`antiphon launch`, which brings its own antiphon."
    )


def _remedy(what: str, expected: Mapping[str, str]) -> str:
    return f"Python {expected[what]}" if what == "python" else f"{what}=={expected[what]}"
