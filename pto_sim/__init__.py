"""pto-sim runs PyPTO kernels on any computer: exact bits, ring heaps to the byte, and a cycle model."""

__version__ = "0.1.0"
