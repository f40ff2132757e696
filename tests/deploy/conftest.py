"""One Ray and one pool of workers for this folder: loading a new program is cheap, starting an actor is not."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from antiphon.deploy.embedded import ray_session
from antiphon.deploy.pool import Pool
from rigs.network_namespaces import why_not


@pytest.fixture(scope="session")
def importable(tmp_path_factory) -> Iterator[Path]:
    """A folder from which this process and all workers import modules."""
    folder = tmp_path_factory.mktemp("importable")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([os.environ["PYTHONPATH"], str(folder)]))
        patch.setattr(sys, "path", [*sys.path, str(folder)])
        yield folder


@pytest.fixture(scope="session")
def ray_is_up(importable) -> Iterator[None]:
    with ray_session(num_cpus=12, num_gpus=8):  # counted, for those who ask
        yield


@pytest.fixture(scope="session")
def pool(ray_is_up) -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skip a test that needs simulated machines, on a system where they cannot be made."""
    if reason := why_not():
        pytest.skip(f"needs simulated machines: {reason}")
