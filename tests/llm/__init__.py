"""A stand-in for the providers of language models."""
