"""Speed beside a peer in the same run: BLAS, the Triton interpreter, the Pallas TPU interpreter.

`python -m benchmarks` (or `make bench`) runs them; every number is printed with what it is compared to. A benchmark
may import anything; nothing imports a benchmark.
"""
