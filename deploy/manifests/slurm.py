"""Writes the batch script for Slurm. `ray symmetric-run` starts Ray on all machines, runs the experiment, stops Ray."""

import json
import shlex

from antiphon.deploy.manifests.machines import alike, refuse_addresses
from antiphon.deploy.manifests.order import ManifestInput
from antiphon.deploy.manifests.template import filled
from antiphon.errors import ExperimentError

_END = "END_OF_EXPERIMENT"


def slurm(order: ManifestInput) -> str:
    """Return the script for `sbatch`. Raises PlacementError or ExperimentError for an input that Slurm cannot run."""
    refuse_addresses(order.placed, "Slurm")
    if _END in order.experiment:
        raise ExperimentError(f"the experiment holds the text {_END!r}, which ends it in the script. Leave it out.")
    machines = alike(order.placed, order.size)
    options = [f"--num-cpus={machines.cpus}", f"--num-gpus={machines.gpus}"]
    if machines.resources:
        options.append(f"--resources={json.dumps(dict(machines.resources))}")
    if machines.labels:
        options.append("--labels=" + ",".join(f"{key}={value}" for key, value in machines.labels))
    return filled(
        "slurm.sh",
        {
            "name": order.name,
            "antiphon": order.versions.antiphon,
            "ray": order.versions.ray,
            "nodes": str(machines.count),
            "cpus": str(machines.cpus),
            "gpus": f"#SBATCH --gpus-per-node={machines.gpus}"
            if machines.gpus and not order.placed.logical_gpus
            else "",
            "memory": str(machines.memory),
            "labels": "\n".join(
                f"# EDIT: the feature of the machines that {key}={value} means.\n##SBATCH --constraint={value}"
                for key, value in machines.labels
            ),
            "everyone": machines.everyone,
            "options": " ".join(map(shlex.quote, options)),
            "experiment": order.experiment.removesuffix("\n"),
            "end": _END,
        },
    )
