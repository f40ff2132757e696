"""Plays rounds: placement, schedule, workers, coordinator. May import grammars, agents, oracles, envs and transport."""
