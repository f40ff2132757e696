"""The image: pinned, without rights and without a token; hadolint finds nothing."""

import re
from pathlib import Path

import pytest

from antiphon.deploy.manifests import ManifestInput, Versions, manifest
from antiphon.errors import ExperimentError

ROOT = Path(__file__).resolve().parents[3]


def read(lines: list[str]) -> dict[str, str]:
    """Versions by name, as an index compares names."""
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


@pytest.fixture
def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return read(lines)


def test_the_dockerfile_pins_what_the_constraints_pin(pinned):
    text = manifest("docker", ManifestInput())
    assert re.findall(r"torch==([\d.]+)", text) == [pinned["torch"]]
    assert re.findall(r"ray\[default\]==([\d.]+)", text) == [pinned["ray"]]
    assert f"ARG BASE=python:{Versions.installed().python}-slim" in text


def test_hadolint_finds_nothing(checked_by):
    text = manifest("docker", ManifestInput())
    assert checked_by("hadolint", text, "--no-color") == ""
    assert "DL3002" in checked_by("hadolint", text.replace("USER 1000:1000", "USER root"), "--no-color")


def test_nobody_runs_as_root_and_no_secret_is_in_the_image():
    text = manifest("docker", ManifestInput())
    *_, user = re.findall(r"^USER (.*)$", text, flags=re.MULTILINE)
    assert user == "1000:1000"
    assert "RAY_AUTH_TOKEN" not in text and "auth_token" not in text


def test_a_ray_without_tokens_is_refused():
    with pytest.raises(ExperimentError) as refused:
        ManifestInput(versions=Versions(antiphon="0.1.0", python="3.11", ray="2.51.1", torch="2.13.0"))
    assert str(refused.value) == (
        "Ray 2.51.1 knows no tokens; expected 2.52 or later, since manifests have authentication on. "
        "Install a later Ray."
    )


def test_every_constraint_is_one_of_the_repository(pinned):
    """What is installed here is what constraints.txt says; of a requirement's own, nothing is left out."""
    lines = manifest("constraints", ManifestInput()).splitlines()
    found = read(lines)
    assert found.items() <= pinned.items()
    assert {"torch", "ray", "gymnasium", "msgpack", "grpcio", "pydantic-core", "aiohttp"} <= set(found)
    assert "pytest" not in found
