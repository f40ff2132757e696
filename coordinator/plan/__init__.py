"""Compiles a grammar and a placement to a schedule. Handles only data; imports neither Ray nor sockets."""
