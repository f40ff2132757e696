"""What a distribution of one's own can bring: an agent, a grammar, an environment."""
