"""Running a placement on Ray: reservations, executor, jobs; may import `antiphon.coordinator`."""
