"""Random faults against runs of four grammars, and the time of a recovery."""
