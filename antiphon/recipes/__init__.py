"""A module for each grammar of the library: its table, how it is built, how what it trained is judged."""
