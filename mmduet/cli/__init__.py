"""The `mmduet` command: one module a group of commands, each a thin layer over functions of the package."""

from mmduet.cli import data, evaluate, export, predict, report, train
from mmduet.cli.root import app, main

__all__ = ["app", "data", "evaluate", "export", "main", "predict", "report", "train"]
