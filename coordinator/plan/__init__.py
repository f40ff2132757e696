"""Compiles a grammar and a placement to a schedule. Everything here is data: it imports neither Ray nor sockets."""
