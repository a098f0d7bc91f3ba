"""What the stand-in was asked to do, and what its kernels answer. Tests clear both."""

CALLS = []
RESULTS = {}
