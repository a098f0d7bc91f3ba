"""A stand-in for the vendor's package: the same names and signatures, and a record of how it was called."""
