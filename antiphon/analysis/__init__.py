"""What can be told of a grammar and its placement before it is played: costs, timelines, who sits where."""
