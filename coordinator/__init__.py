"""Rounds: placement, schedule, worker, coordinator; may import grammars, agents, oracles, envs, transport."""
