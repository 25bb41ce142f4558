"""A search path for pip: the ``setuptools`` here stands in for the real one and runs nothing."""
