"""Writes the batch script for Slurm. `ray symmetric-run` starts Ray on all machines, runs the experiment, stops Ray."""

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
    return filled("slurm.sh", order, machines=machines, end=_END)
