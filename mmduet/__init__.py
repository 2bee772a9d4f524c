"""Duet video language models: watch frame by frame, decide when to speak."""
