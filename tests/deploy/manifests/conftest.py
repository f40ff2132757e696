"""Orders of manifests, and the programs that check what was written: they come with the dev extra."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon.coordinator.plan.placement import Placement, WorkerResources
from antiphon.deploy.manifests import ManifestInput, Size, Versions


def placement(demands: dict[str, WorkerResources], **options) -> Placement:
    """A worker for each name, with this room."""
    return Placement(tuple((name, (name,)) for name in demands), resources=tuple(demands.items()), **options)


MIXED = {
    "Nature": WorkerResources(num_cpus=1),
    "Camera": WorkerResources(num_cpus=2, resources=(("camera", 1.0),), node=(("zone", "lab"),)),
    "Forger": WorkerResources(num_cpus=2, num_gpus=0.5),
    "Curator": WorkerResources(num_cpus=2, num_gpus=0.5),
    "Judge": WorkerResources(num_gpus=1),
}


@pytest.fixture
def order() -> Callable[..., ManifestInput]:
    """An order for these demands, of fixed versions."""

    def call(
        demands: dict[str, WorkerResources] | None = None, size: Size | None = None, image: str = "", **options
    ) -> ManifestInput:
        wanted = placement(MIXED if demands is None else demands, **options)
        versions = Versions(antiphon="0.1.0", python="3.11", ray="2.60.0", torch="2.13.0")
        return ManifestInput("game", wanted, 'grammar = "gan"\n', image, size or Size(8, 1, 16), versions)

    return call


@pytest.fixture
def checked_by(tmp_path) -> Callable[..., str]:
    """What a linter of the dev extra prints of a text; nothing where it has nothing to say."""

    def call(linter: str, text: str, *options: str) -> str:
        program = shutil.which(linter, path=str(Path(sys.executable).parent)) or shutil.which(linter)
        assert program is not None, f"{linter} is not installed; the extra dev brings it"
        file = tmp_path / "checked"
        file.write_text(text)
        done = subprocess.run([program, *options, file], capture_output=True, text=True, timeout=60)
        return (done.stdout + done.stderr).replace(str(file), "FILE")

    return call
