"""`ray up`: Ray's own validator takes the file, every start has the token, and machines are told apart."""

import subprocess

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from antiphon.coordinator.plan.placement import WorkerResources
from antiphon.deploy.manifests import manifest


@pytest.fixture
def cluster(order):
    def call(*arguments, **options) -> dict:
        return yaml.safe_load(manifest("ray-up", order(*arguments, **options)))

    return call


def test_ray_takes_it(cluster):
    config = prepare_config(cluster())
    validate_config(config)
    assert config["max_workers"] == 4


def test_every_start_has_authentication_on_and_the_token_goes_by_ssh(cluster):
    config = cluster()
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        (start,) = [each for each in config[key] if "ray start" in each]
        assert "RAY_AUTH_MODE=token" in start
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert config["setup_commands"][0] == "chmod 600 ~/.ray/auth_token"


def test_the_versions_are_pinned(cluster):
    commands = " ".join(cluster()["setup_commands"])
    for each in ("python3.11", "torch==2.13.0", "'ray[default]==2.60.0'", "antiphon-0.1.0-py3-none-any.whl"):
        assert each in commands


def test_a_machine_that_is_named_stands_as_it_is(cluster):
    config = cluster({"A": WorkerResources(num_cpus=1, node="10.1.2.3"), "B": WorkerResources(num_cpus=1)})
    assert config["provider"]["worker_ips"] == ["192.0.2.11", "10.1.2.3"]


@pytest.mark.parametrize(
    ("address", "options"),
    [("192.0.2.13", ["--labels=zone=lab", '--resources={"camera": 1.0}']), ("192.0.2.11", [])],
)
def test_each_machine_starts_with_its_own_labels_and_resources(cluster, tmp_path, address, options):
    """The start command itself, where the machine has this address and `ray` prints what it is given."""
    for name, line in (("hostname", f"echo {address} fe80::1"), ("ray", 'printf "%s\\n" "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    _, start = cluster()["worker_start_ray_commands"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RAY_HEAD_IP": "192.0.2.10", "HOME": str(tmp_path)}
    start = start.replace("ulimit -n 65536; ", "")  # not everybody may
    done = subprocess.run(["bash", "-c", start], env=environment, capture_output=True, text=True, timeout=30)
    assert done.stdout.splitlines() == ["start", "--address=192.0.2.10:6379", *options], done.stderr


def test_the_shell_takes_every_command(cluster, checked_by):
    config = cluster()
    keys = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
    lines = [line for key in keys for line in config[key]]
    assert checked_by("shellcheck", "\n".join(["#!/bin/bash", *lines, ""]), "--exclude=SC2154,SC2086") == ""
