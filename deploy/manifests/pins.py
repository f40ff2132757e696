"""Finds the installed versions. Manifests pin them, because all nodes of a Ray cluster must run the same versions."""

import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions

_OWN = "antiphon"
_Requirement = tuple[str, frozenset[str]]
"""The name of a distribution, and the extras that are required of it."""

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)\s*(?:\[(?P<extras>[\w\s,-]*)\])?")
_NOT_PINNED = re.compile(r"nvidia|cuda|triton|pip$")


@dataclass(frozen=True)
class Versions:
    """The versions of Python, antiphon, Ray and torch. python: major and minor, or the whole version."""

    antiphon: str
    python: str
    ray: str
    torch: str

    @staticmethod
    def installed() -> "Versions":
        """Return the versions that are installed here."""
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return Versions(_version(_OWN), python, _version("ray"), _version("torch"))

    @property
    def wheel(self) -> str:
        """The file name of antiphon's wheel."""
        return f"{_OWN}-{self.antiphon}-py3-none-any.whl"


def constraints() -> str:
    """Return the installed version of each package that antiphon needs, in the format of pip's --constraint."""
    head = "# What `antiphon manifest constraints` found installed; for `pip install --constraint`."
    return "\n".join([head, *(f"{name}=={version}" for name, version in pins().items()), ""])


def pins() -> dict[str, str]:
    """Return the installed version of every distribution that antiphon needs.

    Requirements are followed if they are installed, even if their condition is for another platform: a constraint on
    an unused distribution has no effect. CUDA libraries and Triton are left out, because torch pins them itself.
    """
    found: dict[str, str] = {}
    wanted = set(_requirements(distribution(_OWN), frozenset()))
    seen: set[_Requirement] = set()
    while open_ones := wanted - seen:
        seen |= open_ones
        for name, extras in open_ones:
            installed = _installed(name)
            if installed is not None and not _NOT_PINNED.match(installed.name):
                found[installed.name] = _plain(installed.version)
                wanted |= set(_requirements(installed, extras))
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _installed(name: str) -> Distribution | None:
    """Return an installed distribution, or None. The copies that Ray contains and adds to the path are left out."""
    places = list({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    return next(iter(distributions(name=name, path=places)), None)


def _requirements(of: Distribution, extras: frozenset[str]) -> Iterator[_Requirement]:
    """Yield the requirements of a distribution with these extras."""
    for line in of.requires or []:
        found = _REQUIREMENT.match(line)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", line)
        if found is not None and (extra is None or extra.group(1) in extras):
            yield found["name"], frozenset((found["extras"] or "").replace(" ", "").split(","))


def _version(name: str) -> str:
    return _plain(distribution(name).version)


def _plain(version: str) -> str:
    """Remove a build suffix such as +cpu, because an image chooses its own build of torch."""
    return version.partition("+")[0]
