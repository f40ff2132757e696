"""Which versions run here: manifests pin them, since all nodes of a Ray cluster must run the same."""

import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions

_OWN = "antiphon"
_Requirement = tuple[str, frozenset[str]]
"""A distribution, and the extras of it that are asked for."""

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)\s*(?:\[(?P<extras>[\w\s,-]*)\])?")
_NOT_PINNED = re.compile(r"nvidia|cuda|triton|pip$")


@dataclass(frozen=True)
class Versions:
    """python: major and minor, or whole. The others: of the distribution of that name."""

    antiphon: str
    python: str
    ray: str
    torch: str

    @staticmethod
    def installed() -> "Versions":
        """Those of this process."""
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return Versions(_version(_OWN), python, _version("ray"), _version("torch"))

    @property
    def wheel(self) -> str:
        """The file name of antiphon's wheel."""
        return f"{_OWN}-{self.antiphon}-py3-none-any.whl"


def pins() -> dict[str, str]:
    """Every distribution that antiphon needs, with the version that is installed here.

    Requirements are followed whatever their conditions say of platforms, as far as they are installed: a constraint for
    what nobody asks for does nothing. torch's own, of which most belong to one kind of GPU, torch pins itself.
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
    """In this environment, and not among what Ray carries inside of itself and puts on the path once it is imported."""
    places = list({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    return next(iter(distributions(name=name, path=places)), None)


def _requirements(of: Distribution, extras: frozenset[str]) -> Iterator[_Requirement]:
    """What a distribution requires, with these extras of it."""
    for line in of.requires or []:
        found = _REQUIREMENT.match(line)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", line)
        if found is not None and (extra is None or extra.group(1) in extras):
            yield found["name"], frozenset((found["extras"] or "").replace(" ", "").split(","))


def _version(name: str) -> str:
    return _plain(distribution(name).version)


def _plain(version: str) -> str:
    """Without what a build adds, like +cpu: an image chooses its own build of torch."""
    return version.partition("+")[0]
