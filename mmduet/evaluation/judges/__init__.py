"""Judges: chat models that rate an answer, here or behind an endpoint."""
