"""Writes KubeRay manifests: a RayCluster or a RayJob, with a token, TLS between the pods, and a network policy.

The fields are those of KubeRay's `ray.io/v1`; `authOptions` needs the operator 1.5.1 or later.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from antiphon.deploy.manifests.commented import Noted, documents, edit
from antiphon.deploy.manifests.machines import MachineGroup, groups, refuse_addresses
from antiphon.deploy.manifests.order import ManifestInput
from antiphon.errors import PlacementError

Tree = Mapping[str, Any]
"""A part of a manifest. Any: it is recursive."""

_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?)?")
_CERTIFICATE = """\
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=antiphon \\
  -keyout /tls/tls.key -out /tls/tls.csr
printf 'subjectAltName=%s\\nbasicConstraints=critical,CA:FALSE\\nextendedKeyUsage=serverAuth,clientAuth\\n' \\
  "{names}" > /tls/tls.ext
openssl x509 -req -in /tls/tls.csr -CA /ca/ca.crt -CAkey /ca/ca.key \\
  -set_serial "0x$(openssl rand -hex 16)" -days 365 -extfile /tls/tls.ext -out /tls/tls.crt
"""
"""A script that runs in each pod before Ray: it makes a key and a certificate for the address of the pod, signed by the
authority of the cluster."""

_EVERYWHERE = "DNS:localhost,IP:127.0.0.1,IP:${POD_IP}"
_HEAD = "{order} of antiphon {version}: see docs/manifests.md. Made by `antiphon manifest {kind}`.\n" + (
    "\nOnce, before the first start, in the namespace that this is to live in:\n"
    "  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN={name} \\\n"
    "    -keyout ca.key -out ca.crt\n"
    "  kubectl create secret generic {name}-ca --from-file=ca.crt --from-file=ca.key\n"
    "\nWhat must or may be edited is marked EDIT. The token is made by KubeRay, and stands in no file of yours."
)


def kuberay_cluster(order: ManifestInput) -> str:
    """Return the manifest of a permanent cluster, for `antiphon launch`."""
    cluster = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": order.name},
        "spec": _cluster(order, ()),
    }
    return documents(_head(order, "A cluster", "kuberay-cluster"), cluster, *_around(order))


def kuberay_job(order: ManifestInput) -> str:
    """Return the manifest of a job with its own cluster, which is removed after the job."""
    folder = f"/runs/{order.name}-$(date +%Y%m%d-%H%M%S)"
    run = f"antiphon run /experiment/experiment.toml --address auto --name {order.name} --out {folder}"
    spec = {
        "entrypoint": run,
        "submissionMode": Noted("SidecarMode", "Submitted from inside the head's pod: the token crosses no network."),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": edit(3600, "how long logs can be read after the job, in seconds."),
        "backoffLimit": 0,
        "rayClusterSpec": _cluster(order, [{"name": "experiment", "configMap": {"name": f"{order.name}-experiment"}}]),
    }
    job = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": order.name}, "spec": spec}
    experiment = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{order.name}-experiment"},
        "data": {"experiment.toml": order.experiment},
    }
    return documents(_head(order, "A job", "kuberay-job"), experiment, job, *_around(order))


def _head(order: ManifestInput, what: str, kind: str) -> str:
    return _HEAD.format(order=what, version=order.versions.antiphon, kind=kind, name=order.name)


def _cluster(order: ManifestInput, head_volumes: Sequence[Tree]) -> Tree:
    refuse_addresses(order.placed, "Kubernetes")
    found = groups(order.placed, order.size)
    for group in found:
        _refuse_labels(group)
    return {
        "rayVersion": Noted(order.versions.ray, "Ray's version in the image; the pods of a cluster must run the same."),
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            "rayStartParams": Noted({"num-cpus": "0", "num-gpus": "0"}, "Nobody of the game lives on the head."),
            "template": _pod(order, "ray-head", {"cpu": "2", "memory": "4Gi"}, head_volumes),
        },
        "workerGroupSpecs": [Noted(_group(order, group), f"Room for {group.everyone}.") for group in found],
    }


_OPTIONS = "--machine-cpus, --machine-gpus, --machine-memory"


def _of(group: MachineGroup) -> str:
    gpus = f"{group.gpus} GPUs, " if group.gpus else ""
    return f"{group.count} of {group.cpus} CPUs, {gpus}{group.memory} GiB"


def _group(order: ManifestInput, group: MachineGroup) -> Tree:
    size = {"cpu": str(group.cpus), "memory": f"{group.memory}Gi"}
    start = {"num-cpus": str(group.cpus), "num-gpus": str(group.gpus)}
    if group.gpus and not order.placed.logical_gpus:
        size |= {"nvidia.com/gpu": str(group.gpus)}
    if group.resources:
        start |= {"resources": shlex.quote(json.dumps(dict(group.resources)))}
    return {
        "groupName": group.name,
        "replicas": Noted(group.count, f"{_of(group)} each, since the placement needs them. Others: {_OPTIONS}."),
        "minReplicas": group.count,
        "maxReplicas": group.count,
        "rayStartParams": start,
        **({"labels": dict(group.labels)} if group.labels else {}),
        "template": _pod(order, "ray-worker", size, ()),
    }


def _pod(order: ManifestInput, name: str, size: Mapping[str, str], more: Sequence[Tree]) -> Tree:
    kept = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    ray = {
        "name": name,
        "image": _image(order),
        "securityContext": kept,
        "env": _environment(),
        **({"ports": _ports()} if name == "ray-head" else {}),
        "resources": {"requests": dict(size), "limits": dict(size)},
        "volumeMounts": [
            {"name": "tls", "mountPath": "/tls", "readOnly": True},
            {"name": "ca-certificate", "mountPath": "/ca", "readOnly": True},
            {"name": "runs", "mountPath": "/runs"},
            *({"name": each["name"], "mountPath": f"/{each['name']}", "readOnly": True} for each in more),
        ],
    }
    spec = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **(_gpu_nodes() if "nvidia.com/gpu" in size else {}),
        "initContainers": [_certificate(order, name, kept)],
        "containers": [ray],
        "volumes": [*_volumes(order), *more],
    }
    return {"metadata": {"labels": {"app.kubernetes.io/instance": order.name}}, "spec": spec}


def _image(order: ManifestInput) -> Noted | str:
    """Return the image, which is the same in all containers."""
    note = "the image that you built, with the host of your registry in front of it; or give it as --image."
    return order.image or edit(order.picture, note)


def _certificate(order: ManifestInput, name: str, kept: Tree) -> Tree:
    names = _EVERYWHERE + (",DNS:${FQ_RAY_IP}" if name == "ray-head" else "")
    small = {"cpu": "100m", "memory": "64Mi"}
    return {
        "name": "certificate",
        "image": _image(order),
        "securityContext": kept,
        "command": Noted(
            ["/bin/sh", "-ec", _CERTIFICATE.format(names=names)],
            "The authority's key is in this container alone, which ends before Ray starts.",
        ),
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "resources": {"requests": small, "limits": small},
        "volumeMounts": [
            {"name": "tls", "mountPath": "/tls"},
            {"name": "ca", "mountPath": "/ca", "readOnly": True},
        ],
    }


def _environment() -> list[Tree]:
    return [
        {"name": name, "value": value}
        for name, value in {
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": "/tls/tls.crt",
            "RAY_TLS_SERVER_KEY": "/tls/tls.key",
            "RAY_TLS_CA_CERT": "/ca/ca.crt",
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }.items()
    ]


def _ports() -> list[Tree]:
    return [
        {"containerPort": 6379, "name": "gcs-server"},
        {"containerPort": 8265, "name": "dashboard"},
        {"containerPort": 10001, "name": "client"},
    ]


def _gpu_nodes() -> Tree:
    tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return {
        "tolerations": Noted(tolerations, "Clusters keep pods without GPUs away from GPU nodes by this taint."),
        "nodeSelector": edit({}, "the label of the nodes with the GPUs that you mean, if there are several kinds."),
    }


def _volumes(order: ManifestInput) -> list[Tree]:
    secret = f"{order.name}-ca"
    return [
        {"name": "tls", "emptyDir": {"medium": "Memory"}},
        {"name": "ca", "secret": {"secretName": secret, "defaultMode": Noted(0o440, "Octal 440.")}},
        {"name": "ca-certificate", "secret": {"secretName": secret, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"name": "runs", "persistentVolumeClaim": {"claimName": f"{order.name}-runs"}},
    ]


def _around(order: ManifestInput) -> tuple[Tree, Tree]:
    own = {"app.kubernetes.io/instance": order.name}
    operator = {
        "from": [
            {
                "namespaceSelector": edit({}, "the namespace of the operator; {} is any."),
                "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}},
            }
        ],
        "ports": [{"port": 8265, "protocol": "TCP"}],
    }
    policy = {
        "apiVersion": Noted(
            "networking.k8s.io/v1",
            "Players' messages (gloo, NCCL) travel outside of Ray's TLS, in the clear. This closes the pods' ports to\n"
            "everybody but these pods, and the dashboard's to everybody but them and the operator. It needs a network\n"
            "plug-in that enforces policies.",
        ),
        "kind": "NetworkPolicy",
        "metadata": {"name": order.name},
        "spec": {
            "podSelector": {"matchLabels": own},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": own}}]}, operator],
        },
    }
    claim = {
        "apiVersion": Noted("v1", "Run folders, where all pods write checkpoints and read them."),
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"{order.name}-runs"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": edit("shared", "a class of yours whose volumes many nodes can write at once."),
            "resources": {"requests": {"storage": edit("10Gi", "checkpoints and metrics of your runs.")}},
        },
    }
    return policy, claim


def _refuse_labels(group: MachineGroup) -> None:
    for key, value in group.labels:
        if not _LABEL.fullmatch(value) or not _LABEL.fullmatch(key.rpartition("/")[2]):
            raise PlacementError(
                f"{group.everyone}: the label {key}={value} is none of Kubernetes's; expected letters, digits, "
                "hyphens, dots and underscores, 63 at most. Name the label so."
            )
