"""Metrics that benchmarks share, and their uncertainty."""
