"""Random faults against runs of four grammars on Ray."""
