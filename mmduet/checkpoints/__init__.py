"""Checkpoints: names and folders in, a model and its processor out; every file is checked before it is used."""
