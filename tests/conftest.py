"""For all tests: no property fails because the machine was busy."""

from hypothesis import settings

# A test states what is so, never how long it took: `make bench` measures.
settings.register_profile("quarterdeck", deadline=None)
settings.load_profile("quarterdeck")
