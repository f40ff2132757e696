"""Writes the cluster file of `ray up` for the user's own machines, reached by ssh (Ray's provider `local`)."""

import json
import shlex
from collections.abc import Iterator

from antiphon.deploy.manifests.commented import Noted, documents, edit
from antiphon.deploy.manifests.machines import MachineGroup, groups
from antiphon.deploy.manifests.order import ManifestInput

_ENVIRONMENT = "~/antiphon/env"
_HEAD = """\
A cluster of machines of your own, for antiphon {version}: see docs/manifests.md. Made by `antiphon manifest ray-up`.

Once, on the machine that you type on: a token, a wheel and the versions that belong together.
  ray get-auth-token --generate > /dev/null && chmod 600 ~/.ray/auth_token
  python -m build --wheel --outdir . PATH_OF_ANTIPHON
  antiphon manifest constraints --out constraints.txt
Then `ray up FILE`, and `ray down FILE`. What must or may be edited is marked EDIT.

Every start is told RAY_AUTH_MODE=token. Neither Ray's messages nor the players' are encrypted: use a network of your
own, whose ports nobody else reaches."""


def ray_up(order: ManifestInput) -> str:
    """Return the cluster file: a head, and the machines that the placement needs."""
    found = groups(order.placed, order.size)
    addresses = [_address(index) for index in range(sum(group.count for group in found))]
    placed = _addressed(found, addresses)
    wheel = order.versions.wheel
    cluster = {
        "cluster_name": order.name,
        "provider": {
            "type": "local",
            "head_ip": edit("192.0.2.10", "the machine on which Ray starts."),
            "worker_ips": [Noted(address, _note(group)) if first else address for group, address, first in placed],
        },
        "min_workers": len(placed),
        "max_workers": len(placed),
        "auth": {
            "ssh_user": edit("antiphon", "who may log in to all of these machines, by key."),
            "ssh_private_key": edit("~/.ssh/id_ed25519", "your key; the head uses it, too, to reach the others."),
        },
        "file_mounts": {
            "~/.ray/auth_token": Noted("~/.ray/auth_token", "The token; it goes by ssh, and never into this file."),
            f"~/antiphon/{wheel}": edit(f"./{wheel}", "where the wheel is, on this side."),
            "~/antiphon/constraints.txt": "./constraints.txt",
        },
        "setup_commands": [
            Noted("chmod 600 ~/.ray/auth_token", "Each of these runs on every machine, before Ray starts there."),
            f"test -x {_ENVIRONMENT}/bin/ray || python{order.versions.python} -m venv --clear {_ENVIRONMENT}",
            f"{_pip()} torch=={order.versions.torch}",
            f"{_pip()} ~/antiphon/{wheel} 'ray[default]=={order.versions.ray}'",
        ],
        "head_start_ray_commands": [
            f"{_ENVIRONMENT}/bin/ray stop",
            edit(
                _start("--head --port=6379 --num-cpus=0 --num-gpus=0 --autoscaling-config=~/ray_bootstrap_config.yaml"),
                "leave out --num-cpus=0 --num-gpus=0 if the head's own machine is to hold workers, too.",
            ),
        ],
        "worker_start_ray_commands": [f"{_ENVIRONMENT}/bin/ray stop", *_worker_start(found, placed)],
    }
    return documents(_HEAD.format(version=order.versions.antiphon), cluster)


def _address(index: int) -> str:
    """Return a placeholder address: 192.0.2.0/24 is reserved for documentation."""
    return f"192.0.2.{11 + index}"


def _addressed(found: tuple[MachineGroup, ...], addresses: list[str]) -> list[tuple[MachineGroup, str, bool]]:
    """Return for each machine its group, its address, and whether it is the first of its group."""
    free = iter(addresses)
    return [(group, group.address or next(free), index == 0) for group in found for index in range(group.count)]


def _note(group: MachineGroup) -> str:
    what = f"{group.count} with {group.cpus} CPUs" + (f" and {group.gpus} GPUs" if group.gpus else "")
    labels = "".join(f", labelled {key}={value}" for key, value in group.labels)
    resources = "".join(f", with {amount:g} {name}" for name, amount in group.resources)
    text = f"{what} at least{labels}{resources}: room for {group.everyone}."
    return text if group.address else f"EDIT: {text}"


def _pip() -> str:
    return f"{_ENVIRONMENT}/bin/python -m pip install --quiet --constraint ~/antiphon/constraints.txt"


def _start(options: str, before: str = "") -> str:
    variables = "RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1"
    return f'export PATH="$HOME/antiphon/env/bin:$PATH" {variables}; ulimit -n 65536; {before}ray start {options}'


def _worker_start(found: tuple[MachineGroup, ...], placed: list[tuple[MachineGroup, str, bool]]) -> Iterator[object]:
    if not any(group.labels or group.resources for group in found):
        yield _start("--address=$RAY_HEAD_IP:6379")
        return
    cases = "".join(
        f'*" {address} "*) set -- {_own(group)};; ' for group, address, _ in placed if group.labels or group.resources
    )
    yield edit(
        _start('--address=$RAY_HEAD_IP:6379 "$@"', f'set --; case " $(hostname -I) " in {cases}esac; '),
        "the same addresses as above: these machines' nodes carry labels and resources.",
    )


def _own(group: MachineGroup) -> str:
    labels = ",".join(f"{key}={value}" for key, value in group.labels)
    options = [f"--labels={labels}"] if labels else []
    if group.resources:
        options.append(f"--resources={json.dumps(dict(group.resources))}")
    return " ".join(map(shlex.quote, options))
