"""`benchmarks` is no part of the distribution: it is imported from the repository, behind everything else."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)
