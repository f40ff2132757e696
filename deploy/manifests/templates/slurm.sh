#!/usr/bin/env bash
# One experiment of antiphon {{ versions.antiphon }} as a Slurm job: see docs/manifests.md. Made by `antiphon manifest slurm`.
# Start it with `sbatch FILE`, stop it with `scancel`. What must or may be edited is marked EDIT.
#
# `ray symmetric-run` starts Ray on all machines, runs on the first, and stops Ray on all. They have room for
# {{ machines.everyone }}.
#SBATCH --job-name={{ name }}
#SBATCH --nodes={{ machines.count }}
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task={{ machines.cpus }}
{% if machines.gpus and not placement.logical_gpus %}
#SBATCH --gpus-per-node={{ machines.gpus }}
{% endif %}
{% for key, value in machines.labels %}
# EDIT: the feature of the machines that {{ key }}={{ value }} means.
##SBATCH --constraint={{ value }}
{% endfor %}
# Exclusive, because `ray stop` ends every Ray of yours on a machine, and `ray start` fails where one runs.
#SBATCH --exclusive
# EDIT: memory of one machine.
#SBATCH --mem={{ machines.memory }}G
# EDIT: how long it may take.
#SBATCH --time=01:00:00
# EDIT: the partition; take away the second # of the next line.
##SBATCH --partition=
#SBATCH --output=%x-%j.log
set -euo pipefail
umask 077

# EDIT: an environment with antiphon {{ versions.antiphon }} and Ray {{ versions.ray }}, on a disk that all machines see.
environment="${ANTIPHON_ENVIRONMENT:-$HOME/antiphon/env}"
# EDIT: where run folders go, on such a disk, too: every machine writes checkpoints there.
runs="${ANTIPHON_RUNS:-$PWD/runs}"

export PATH="$environment/bin:$PATH"
export OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0 RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300

# A token for this job only. Only you can read it, and it is removed with the job.
mkdir -p "$runs"
job="$(mktemp -d "$runs/.job-$SLURM_JOB_ID-XXXXXX")"
trap 'rm -rf "$job"' EXIT
python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$job/token"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$job/token"

cat > "$job/experiment.toml" << '{{ end }}'
{{ experiment.removesuffix("\n") }}
{{ end }}

machines="$(scontrol show hostnames "$SLURM_JOB_NODELIST")"
address="$(srun --nodes=1 --ntasks=1 --nodelist="${machines%%$'\n'*}" \
  python -c 'from ray.util import get_node_ip_address; print(get_node_ip_address())')"

# Ray on the other machines ends a minute after the first machine has left; --wait gives it the time.
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --cpus-per-task={{ machines.cpus }} --wait=300 \
  ray symmetric-run --address "$address:6379" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus={{ machines.cpus }} --num-gpus={{ machines.gpus }}{{ " " if machines.options }}{{ machines.options }} -- \
  antiphon run "$job/experiment.toml" --address auto --name "$SLURM_JOB_NAME" \
  --out "$runs/$SLURM_JOB_NAME-$SLURM_JOB_ID"
