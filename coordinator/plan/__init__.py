"""A grammar and a placement compiled to a schedule: data, which imports neither Ray nor sockets."""
