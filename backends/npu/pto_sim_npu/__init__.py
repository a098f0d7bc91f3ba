"""Runs kernels through the vendor's pypto toolchain. A backend of pto_sim, found by entry point."""

from pto_sim_npu.backend import NpuBackend

__all__ = ["NpuBackend"]
