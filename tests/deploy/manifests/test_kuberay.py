"""KubeRay: authentication, TLS and the network policy are in every manifest, and the pods satisfy the placement."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import kubernetes_validate
import pytest
import yaml
from hypothesis import given, strategies as st

from antiphon.coordinator.plan.placement import WorkerResources
from antiphon.deploy.manifests import ManifestInput, Size, Versions, manifest
from antiphon.errors import PlacementError
from tests.deploy.manifests.conftest import placement

KINDS = ("kuberay-cluster", "kuberay-job")
TLS = {
    "RAY_USE_TLS": "1",
    "RAY_TLS_SERVER_CERT": "/tls/tls.crt",
    "RAY_TLS_SERVER_KEY": "/tls/tls.key",
    "RAY_TLS_CA_CERT": "/ca/ca.crt",
}


def parts(text: str) -> dict[str, dict]:
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def cluster(text: str) -> dict:
    found = parts(text)
    return found["RayCluster"]["spec"] if "RayCluster" in found else found["RayJob"]["spec"]["rayClusterSpec"]


def pods(text: str) -> Iterator[dict]:
    spec = cluster(text)
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        yield group["template"]


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


def test_authentication_is_on(order, kind):
    spec = cluster(manifest(kind, order()))
    assert (spec["authOptions"], spec["rayVersion"]) == ({"mode": "token"}, "2.60.0")


def test_every_pod_speaks_tls_and_only_its_first_container_sees_the_key_of_the_authority(order, kind):
    for pod in pods(manifest(kind, order())):
        (ray,), (first,) = pod["spec"]["containers"], pod["spec"]["initContainers"]
        assert TLS.items() <= {each["name"]: each["value"] for each in ray["env"]}.items()
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        assert volumes["ca"]["secret"]["secretName"] == "game-ca" and "items" not in volumes["ca"]["secret"]
        assert volumes["ca-certificate"]["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
        mounts = {each["name"]: each["mountPath"] for each in ray["volumeMounts"]}
        assert "ca" not in mounts and mounts["ca-certificate"] == "/ca" and mounts["tls"] == "/tls"
        assert {each["name"] for each in first["volumeMounts"]} == {"ca", "tls"}


def test_nobody_is_root_or_speaks_to_the_api(order, kind):
    for pod in pods(manifest(kind, order())):
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        for each in (*pod["spec"]["containers"], *pod["spec"]["initContainers"]):
            assert each["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_the_ports_of_the_pods_are_open_to_the_pods_alone(order, kind):
    text = manifest(kind, order())
    own = {"matchLabels": {"app.kubernetes.io/instance": "game"}}
    policy = parts(text)["NetworkPolicy"]["spec"]
    assert (policy["podSelector"], policy["policyTypes"]) == (own, ["Ingress"])
    among, operator = policy["ingress"]
    assert among == {"from": [{"podSelector": own}]}
    assert [port["port"] for port in operator["ports"]] == [8265]
    assert all(pod["metadata"]["labels"] == own["matchLabels"] for pod in pods(text))


def test_groups_have_the_room_that_the_placement_asks_for(order, kind):
    found = {each["groupName"]: each for each in cluster(manifest(kind, order()))["workerGroupSpecs"]}
    sizes = {
        name: (each["replicas"], each["rayStartParams"]["num-cpus"], each["rayStartParams"]["num-gpus"])
        for name, each in found.items()
    }
    assert sizes == {"gpu": (2, "8", "1"), "cpu": (1, "8", "0"), "cpu-2": (1, "8", "0")}
    assert found["cpu"]["labels"] == {"zone": "lab"}
    assert json.loads(found["cpu"]["rayStartParams"]["resources"].strip("'")) == {"camera": 1.0}
    for name, each in found.items():
        limits = each["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert limits == {"cpu": "8", "memory": "16Gi", **({"nvidia.com/gpu": "1"} if name == "gpu" else {})}
        assert each["minReplicas"] == each["maxReplicas"] == each["replicas"]


def test_gpus_that_are_only_counted_are_asked_of_ray_alone(order, kind):
    (group,) = cluster(manifest(kind, order({"A": WorkerResources(num_cpus=1, num_gpus=1)}, logical_gpus=True)))[
        "workerGroupSpecs"
    ]
    assert group["rayStartParams"]["num-gpus"] == "1"
    assert "nvidia.com/gpu" not in group["template"]["spec"]["containers"][0]["resources"]["limits"]


def test_the_image_is_to_be_edited_unless_it_is_given(order, kind):
    assert "EDIT: the image" in manifest(kind, order())
    text = manifest(kind, order(image="images.example.org/antiphon:1"))
    assert "EDIT: the image" not in text
    assert {
        each["image"] for pod in pods(text) for each in (*pod["spec"]["containers"], *pod["spec"]["initContainers"])
    } == {"images.example.org/antiphon:1"}


def test_the_job_brings_its_experiment_and_plays_it(order):
    found = parts(manifest("kuberay-job", order()))
    assert found["ConfigMap"]["data"] == {"experiment.toml": 'grammar = "gan"\n'}
    job = found["RayJob"]["spec"]
    assert job["entrypoint"].startswith(
        "antiphon run /experiment/experiment.toml --address auto --name game --out /runs/"
    )
    assert job["submissionMode"] == "SidecarMode"
    head = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert {"name": "experiment", "mountPath": "/experiment", "readOnly": True} in head["containers"][0]["volumeMounts"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_experiment_reads_back_as_it_was(text):
    versions = Versions(antiphon="0.1.0", python="3.11", ray="2.60.0", torch="2.13.0")
    asked = ManifestInput("on", placement({"A": WorkerResources(num_cpus=1)}), text, versions=versions)
    found = parts(manifest("kuberay-job", asked))
    assert found["ConfigMap"]["data"] == {"experiment.toml": text}
    assert found["RayJob"]["metadata"] == {"name": "on"}, "a text, although YAML reads `on` as a truth value"


def test_kubernetes_knows_every_field(order, kind):
    text = manifest(kind, order())
    for each in yaml.safe_load_all(text):
        if each["apiVersion"] != "ray.io/v1":
            kubernetes_validate.validate(each, "1.30", strict=True)
    for pod in pods(text):
        kubernetes_validate.validate({"apiVersion": "v1", "kind": "Pod", **pod}, "1.30", strict=True)


def test_an_unknown_field_is_found(order):
    (pod, *_) = pods(manifest("kuberay-cluster", order()))
    pod["spec"]["runAsUsr"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({"apiVersion": "v1", "kind": "Pod", **pod}, "1.30", strict=True)


def test_addresses_and_strange_labels_are_refused(order, kind):
    with pytest.raises(PlacementError, match="Kubernetes tells addresses only once machines have started"):
        manifest(kind, order({"A": WorkerResources(node="192.0.2.7")}))
    with pytest.raises(PlacementError) as refused:
        manifest(kind, order({"A": WorkerResources(node=(("zone", "a/b"),))}))
    assert str(refused.value) == (
        "A: the label zone=a/b is none of Kubernetes's; expected letters, digits, hyphens, dots and underscores, 63 at "
        "most. Name the label so."
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("name", ["ray-head", "ray-worker"])
def test_each_pod_makes_a_certificate_for_its_own_address(order, tmp_path, name):
    """What the first container runs, in folders of this machine."""
    (tmp_path / "ca").mkdir()
    (tmp_path / "tls").mkdir()
    text = manifest("kuberay-cluster", order())
    head = "\n".join(line.removeprefix("#") for line in text.splitlines() if line.startswith("#"))
    authority = re.search(r"openssl req -x509.*\\\n.*", head)
    assert authority is not None
    subprocess.run(["sh", "-ec", authority.group()], cwd=tmp_path / "ca", check=True, capture_output=True, timeout=60)
    (first,) = next(pod["spec"]["initContainers"] for pod in pods(text) if pod["spec"]["containers"][0]["name"] == name)
    shell, option, script = first["command"]
    for folder in ("tls", "ca"):
        script = script.replace(f"/{folder}/", f"{tmp_path}/{folder}/")
    own = {"POD_IP": "192.0.2.7", "FQ_RAY_IP": "game-head-svc.lab.svc.cluster.local", "PATH": "/usr/bin:/bin"}
    subprocess.run([shell, option, script], env=own, check=True, capture_output=True, timeout=60)
    made = ["-CAfile", tmp_path / "ca" / "ca.crt", tmp_path / "tls" / "tls.crt"]
    for purpose in ("sslserver", "sslclient"):
        subprocess.run(["openssl", "verify", "-purpose", purpose, *made], check=True, capture_output=True, timeout=60)
    shown = ["openssl", "x509", "-in", tmp_path / "tls" / "tls.crt", "-noout", "-ext", "subjectAltName"]
    told = subprocess.run(shown, check=True, capture_output=True, text=True, timeout=60).stdout
    assert "IP Address:192.0.2.7" in told
    assert ("DNS:game-head-svc" in told) == (name == "ray-head")


def test_other_sizes(order):
    spec = cluster(
        manifest(
            "kuberay-cluster",
            replace(order(), placement=placement({"A": WorkerResources(num_cpus=1, num_gpus=3)}), size=Size(4, 4, 64)),
        )
    )
    limits = spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "4", "memory": "64Gi", "nvidia.com/gpu": "4"}
