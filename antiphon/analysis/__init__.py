"""Analysis of a grammar and its placement: costs, timelines, and which worker holds what."""
