"""Runs of experiments: their folders, metrics, checkpoints and evaluations."""
