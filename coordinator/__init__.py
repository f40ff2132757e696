"""Rounds: placement, schedule, worker and coordinator. May import grammars, agents, oracles, envs and transport."""
