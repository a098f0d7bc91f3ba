"""Kernels that come with pto-sim, one folder for each model."""
