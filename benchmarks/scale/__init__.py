"""What a round costs with how many workers: a model, what it is calibrated by, and what it is held against.

`model` and `limits` are pure; `preparing` and `playing` measure; `document` writes the tables of docs/scale.md.
"""
