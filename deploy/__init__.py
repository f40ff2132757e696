"""Runs placements on Ray: reservations, executor, jobs. May import `antiphon.coordinator`."""
