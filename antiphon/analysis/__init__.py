"""Analyse a grammar and its placement: promises, communication cost, timelines, and the contents of each worker."""
