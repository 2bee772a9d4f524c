"""The `mmduet` command: one module a group of commands, each a thin layer over functions of the package."""

from mmduet.cli import baseline, benchmarks, calibrate, concept, data, evaluate, predict, report, timing, train, watch
from mmduet.cli.root import app, main

__all__ = [
    "app",
    "baseline",
    "benchmarks",
    "calibrate",
    "concept",
    "data",
    "evaluate",
    "main",
    "predict",
    "report",
    "timing",
    "train",
    "watch",
]
