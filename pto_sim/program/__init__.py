"""The recorded Program and everything that the packages above share about it."""
