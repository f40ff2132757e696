"""Games, oracles, environments, devices and networks that tests play with; imported as `rigs` by tests and workers."""
