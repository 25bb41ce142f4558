"""A search path for pip: the ``setuptools`` here answers for the real one and runs nothing. See ``packages.py``."""
