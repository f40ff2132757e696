"""Find the installed package versions. Manifests pin them: all nodes of a Ray cluster must have the same versions."""

import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions

_OWN = "antiphon"
_Requirement = tuple[str, frozenset[str]]
"""A requirement: (name of a distribution, the extras of it that are required)."""

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)\s*(?:\[(?P<extras>[\w\s,-]*)\])?")
_NOT_PINNED = re.compile(r"nvidia|cuda|triton|pip$")


@dataclass(frozen=True)
class Versions:
    """The versions of Python, antiphon, Ray and torch that a manifest pins. python: "major.minor" or the full one."""

    antiphon: str
    python: str
    ray: str
    torch: str

    @staticmethod
    def installed() -> "Versions":
        """Return the versions that are installed in this environment."""
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return Versions(_version(_OWN), python, _version("ray"), _version("torch"))

    @property
    def wheel(self) -> str:
        """The file name of antiphon's wheel."""
        return f"{_OWN}-{self.antiphon}-py3-none-any.whl"


def constraints() -> str:
    """Return a constraints file for pip: the installed version of each package that antiphon needs."""
    head = "# What `antiphon manifest constraints` found installed; for `pip install --constraint`."
    return "\n".join([head, *(f"{name}=={version}" for name, version in pins().items()), ""])


def pins() -> dict[str, str]:
    """Return the installed version of every distribution that antiphon needs, directly or indirectly, by name.

    A requirement for another platform is included if it is installed: a constraint on an unused distribution has no
    effect. CUDA libraries and Triton are left out, because torch pins them itself.
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
    """Return the installed distribution `name`; None if it is not installed.

    Copies of distributions that Ray contains and adds to the path do not count.
    """
    places = list({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    return next(iter(distributions(name=name, path=places)), None)


def _requirements(of: Distribution, extras: frozenset[str]) -> Iterator[_Requirement]:
    """Yield the requirements of a distribution, including those of the given extras."""
    for line in of.requires or []:
        found = _REQUIREMENT.match(line)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", line)
        if found is not None and (extra is None or extra.group(1) in extras):
            yield found["name"], frozenset((found["extras"] or "").replace(" ", "").split(","))


def _version(name: str) -> str:
    return _plain(distribution(name).version)


def _plain(version: str) -> str:
    """Return a version without a build suffix such as +cpu, because an image chooses its own build of torch."""
    return version.partition("+")[0]
