"""The cost of a round by the number of workers: a model, its calibration, and measurements to compare the model with.

`model` and `limits` only compute; `preparing` and `playing` measure; `document` writes the tables of docs/scale.md.
"""
