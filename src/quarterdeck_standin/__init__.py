"""The stand-in model: a separate process that answers like a model vendor.

It serves the demo and the tests, and is no part of the server: nothing in `quarterdeck` imports it.
"""
