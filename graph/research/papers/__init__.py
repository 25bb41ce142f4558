"""Papers: which one is meant, where it lies, what it says of a training, and what others reported on the same data."""
