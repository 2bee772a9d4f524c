"""Benchmarks: one module a data set."""
