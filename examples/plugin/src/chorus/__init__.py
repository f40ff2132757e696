"""An example of a plugin distribution, with an agent, a grammar and an environment."""
