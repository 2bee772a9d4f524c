"""Streaming: a session feeds frames to a model, and yields scores, queries and responses."""
