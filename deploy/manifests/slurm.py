"""Write the batch script for Slurm. In it, `ray symmetric-run` starts Ray, runs the experiment, and stops Ray."""

from antiphon.deploy.manifests.machines import alike, refuse_addresses
from antiphon.deploy.manifests.order import ManifestInput
from antiphon.deploy.manifests.template import filled
from antiphon.errors import ExperimentError

_END = "END_OF_EXPERIMENT"


def slurm(order: ManifestInput) -> str:
    """Return a batch script for `sbatch` that runs an experiment on Ray.

    Raises PlacementError or ExperimentError for an input that Slurm cannot run.
    """
    refuse_addresses(order.placed, "Slurm")
    if _END in order.experiment:
        raise ExperimentError(f"the experiment holds the text {_END!r}, which ends it in the script. Leave it out.")
    machines = alike(order.placed, order.size)
    return filled("slurm.sh", order, machines=machines, end=_END)
