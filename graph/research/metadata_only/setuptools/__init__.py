"""Stands in for setuptools while pip downloads a source package, so that its setup.py is never run."""
