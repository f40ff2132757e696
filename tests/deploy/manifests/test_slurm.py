"""Slurm: the script has a token of its own, asks for what the placement needs, and shellcheck finds nothing."""

import re

import pytest

from antiphon.coordinator.plan.placement import WorkerResources
from antiphon.deploy.manifests import Size, manifest
from antiphon.errors import ExperimentError, PlacementError

ALIKE = {
    "A": WorkerResources(num_cpus=4, num_gpus=1),
    "B": WorkerResources(num_cpus=8, resources=(("camera", 1.0),)),
    "C": WorkerResources(),
}


def directives(text: str) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", text, flags=re.MULTILINE))


@pytest.fixture
def script(order):
    def call(*arguments, **options) -> str:
        return manifest("slurm", order(*arguments, **options))

    return call


def test_shellcheck_finds_nothing(script, checked_by):
    assert checked_by("shellcheck", script(ALIKE)) == ""
    assert "SC2086" in checked_by("shellcheck", script(ALIKE) + "\nls $undefined\n", "--severity=info")


def test_it_asks_for_the_machines_that_the_placement_needs(script):
    found = directives(script(ALIKE))
    wanted = {"nodes": "2", "ntasks-per-node": "1", "cpus-per-task": "8", "gpus-per-node": "1", "mem": "16G"}
    assert wanted.items() <= found.items()
    assert "exclusive" in found
    assert "gpus-per-node" not in directives(script({"A": WorkerResources()}))
    assert "gpus-per-node" not in directives(script({"A": WorkerResources(num_gpus=1)}, logical_gpus=True))
    assert directives(script({"A": WorkerResources(num_gpus=4)}, Size(8, 4, 16)))["gpus-per-node"] == "4"


def test_ray_is_told_what_each_machine_has(script):
    started = re.search(r"ray symmetric-run (.*) -- ", script(ALIKE))
    assert started is not None
    assert started.group(1) == (
        '--address "$address:6379" --min-nodes "$SLURM_JOB_NUM_NODES" '
        """--num-cpus=8 --num-gpus=1 '--resources={"camera": 1.0}'"""
    )


def test_authentication_is_on_with_a_token_that_only_its_owner_reads(script):
    text = script(ALIKE)
    before, after = text.split("export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH")
    assert "umask 077" in before and '> "$job/token"' in before and "srun" not in before
    assert "symmetric-run" in after
    assert "trap 'rm -rf \"$job\"' EXIT" in text


def test_a_label_is_a_feature_that_the_user_names(script):
    text = script({"A": WorkerResources(node=(("zone", "lab"),)), "B": WorkerResources(node=(("disk", "fast"),))})
    assert "--labels=disk=fast,zone=lab" in text
    assert "# EDIT: the feature of the machines that zone=lab means.\n##SBATCH --constraint=lab\n" in text


def test_what_the_machines_of_a_job_cannot_have_is_refused(script):
    with pytest.raises(PlacementError, match="Slurm tells addresses only once machines have started"):
        script({"A": WorkerResources(node="192.0.2.7")})
    with pytest.raises(PlacementError, match="the machines of a Slurm job are alike"):
        script({"A": WorkerResources(node=(("zone", "a"),)), "B": WorkerResources(node=(("zone", "b"),))})


def test_an_experiment_cannot_end_early(order):
    from dataclasses import replace

    with pytest.raises(ExperimentError) as refused:
        manifest("slurm", replace(order(ALIKE), experiment="END_OF_EXPERIMENT\n"))
    assert str(refused.value) == (
        "the experiment holds the text 'END_OF_EXPERIMENT', which ends it in the script. Leave it out."
    )
