"""The demo: a small invented world of insurance searches, and the job that shows darl at work on it."""
