"""Whether a machine has what a run needs."""
