"""Streaming: a session feeds frames to a model, and yields scores, queries and responses."""

LIVE_CONTEXT = 60  # frames that a session without an end keeps in its context; in a longer one `mini` falls silent
