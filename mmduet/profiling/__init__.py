"""Profiling: how fast a session is, and the published loop to compare it with."""
