"""Test whether the promises of a grammar hold (for example "every player receives its exact gradient").

The folder also has a test suite for each grammar of the library.
"""
