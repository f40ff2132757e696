"""Tokens: required of every cluster, and a token of its own for a Ray on one machine."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from antiphon.deploy.authentication import (
    MODE,
    TOKEN,
    TOKEN_PATH,
    WITHOUT_TOKEN,
    check_has_tokens,
    own_token,
    require_token,
)
from antiphon.errors import ClusterError, VersionError
from rigs.ray_nodes import one_network

ASKING = """
import sys
from antiphon.deploy.address import control_store
from antiphon.errors import ClusterError
try:
    print(control_store(sys.argv[1]))
except ClusterError as error:
    print(error)
"""
VARIABLES = MODE, TOKEN, TOKEN_PATH, WITHOUT_TOKEN


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("version", ["2.48.0", "2.51.1", "1.13"])
def test_a_ray_without_tokens_is_refused(version: str) -> None:
    with pytest.raises(VersionError) as caught:
        check_has_tokens(version)
    assert f"Ray {version} is installed here" in str(caught.value) and "Install ray>=2.52" in str(caught.value)
    check_has_tokens("2.52.0")
    check_has_tokens("3.0.0.dev0")


def test_a_token_of_ones_own_is_private_and_the_environment_comes_back(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(TOKEN, "of a cluster")
    monkeypatch.setenv(MODE, "disabled")  # a choice for a cluster
    monkeypatch.setenv("RAY_USE_TLS", "1")
    before = os.umask(0)
    try:
        with own_token(tmp_path):
            path = Path(os.environ[TOKEN_PATH])
            assert os.environ[MODE] == "token" and not {TOKEN, "RAY_USE_TLS"} & set(os.environ)
            assert path.parent == tmp_path and stat.S_IMODE(path.stat().st_mode) == 0o600
            assert len(set(path.read_text())) > 8 and len(path.read_text()) == 64
    finally:
        os.umask(before)
    assert (os.environ[TOKEN], os.environ[MODE], os.environ.get(TOKEN_PATH)) == ("of a cluster", "disabled", None)
    assert os.environ["RAY_USE_TLS"] == "1"


def test_a_cluster_is_asked_in_token_mode() -> None:
    assert require_token("head:6379") and os.environ[MODE] == "token"


def test_a_tokens_file_that_others_can_read_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("as Ray writes it")
    path.chmod(0o644)
    require_token("head:6379")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", ["disabled", "DISABLED", "none"])
def test_without_tokens_only_by_an_option_of_ours(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, mode)
    with pytest.raises(ClusterError, match=f"RAY_AUTH_MODE={mode.lower()}; expected token"):
        require_token("head:6379")
    monkeypatch.setenv(WITHOUT_TOKEN, "1")
    assert not require_token("head:6379")


def asked(address: str) -> str:
    """What a process of its own, which is connected to no Ray, hears of the cluster at `address`."""
    command = [sys.executable, "-c", ASKING, address]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()


@pytest.mark.slow
def test_a_cluster_that_takes_requests_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_network("it needs no token", 1) as cluster:
        assert f"{cluster.address!r} takes requests without a token" in asked(cluster.address)
        monkeypatch.setenv(WITHOUT_TOKEN, "1")
        assert asked(cluster.address) == cluster.address


def test_a_process_that_is_connected_to_ray_keeps_its_token(ray_is_up) -> None:
    """Else Ray's C++ ends this process, without a word."""
    require_token("head:6379")
    assert ray.nodes()
