"""Rounds: placement, schedule, projection, worker, coordinator; may import grammars, agents, oracles, envs, transport."""
