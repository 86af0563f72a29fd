"""The request and reply shapes of other servers' rerank APIs, and darl's own: one dialect a file."""
