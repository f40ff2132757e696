"""Check whether a machine has what a run needs."""
