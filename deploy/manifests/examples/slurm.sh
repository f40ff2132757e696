#!/usr/bin/env bash
# One experiment of antiphon 0.1.0 as a Slurm job: see docs/manifests.md. Made by `antiphon manifest slurm`.
# Start it with `sbatch FILE`, stop it with `scancel`. What must or may be edited is marked EDIT.
#
# `ray symmetric-run` starts Ray on all machines, runs on the first, and stops Ray on all. They have room for
# Forger, Curator, Environment, Noise, L.
#SBATCH --job-name=antiphon-gan
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
# Exclusive, because `ray stop` ends every Ray of yours on a machine, and `ray start` fails where one runs.
#SBATCH --exclusive
# EDIT: memory of one machine.
#SBATCH --mem=16G
# EDIT: how long it may take.
#SBATCH --time=01:00:00
# EDIT: the partition; take away the second # of the next line.
##SBATCH --partition=
#SBATCH --output=%x-%j.log
set -euo pipefail
umask 077

# EDIT: an environment with antiphon 0.1.0 and Ray 2.60.0, on a disk that all machines see.
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

cat > "$job/experiment.toml" << 'END_OF_EXPERIMENT'
grammar = "gan"
rounds = 5000
seed = 0
executor = "ray"
transport = "process-group"
threads = 1
microbatches = 1
staleness = 0
deadline = 30.0
checksum = "between-machines"
max_recoveries = 20
rounds_per_report = 100
checkpoint_every = 5000
checkpoint_every_seconds = 60.0
checkpoint_folder = ""
keep_checkpoints = 2
keep_best = ""
best_is = "lowest"
on_nonfinite = "fail"

[agent]
agent = "torch"
optimizer = "Adam"
every = 1
start = 0
on_failure = "fail"

[agent.arguments]

[agent.scheduler_arguments]

[players.Forger]
agent = "torch"
optimizer = "Adam"
every = 1
start = 0
on_failure = "fail"

[players.Forger.arguments]

[players.Forger.scheduler_arguments]

[players.Curator]
agent = "torch"
optimizer = "Adam"
every = 1
start = 0
on_failure = "fail"

[players.Curator.arguments]

[players.Curator.scheduler_arguments]

[placement]
strategy = "pack"
fuse = []
logical_gpus = false

[placement.of.Environment]
num_cpus = 2.0
num_gpus = 0.0
node = ""

[placement.of.Noise]
num_cpus = 0.0
num_gpus = 0.0
node = ""

[placement.of.Forger]
num_cpus = 1.0
num_gpus = 0.5
node = ""
replicas = 1
sharded = false
accept_batch_coupling = false
precision = "declared"
recompute = false

[placement.of.Curator]
num_cpus = 1.0
num_gpus = 0.5
node = ""
replicas = 1
sharded = false
accept_batch_coupling = false
precision = "declared"
recompute = false

[placement.of.L]
num_cpus = 0.0
num_gpus = 0.0
node = ""

[evaluation]
episodes = 50
first_seed = 10000
max_steps = 10000

[arguments]

[gan]
data = "digits"
batch = 64
network = "dense"
latent = 64
saturating = false
widths = [256, 128]
channels = [32, 64]
slope = 0.2
forger_widths = [128, 256]
forger_channels = [64, 32]

[gan.data_arguments]
END_OF_EXPERIMENT

machines="$(scontrol show hostnames "$SLURM_JOB_NODELIST")"
address="$(srun --nodes=1 --ntasks=1 --nodelist="${machines%%$'\n'*}" \
  python -c 'from ray.util import get_node_ip_address; print(get_node_ip_address())')"

# Ray on the other machines ends a minute after the first machine has left; --wait gives it the time.
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --cpus-per-task=8 --wait=300 \
  ray symmetric-run --address "$address:6379" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus=8 --num-gpus=1 -- \
  antiphon run "$job/experiment.toml" --address auto --name "$SLURM_JOB_NAME" \
  --out "$runs/$SLURM_JOB_NAME-$SLURM_JOB_ID"
