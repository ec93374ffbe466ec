"""One row per request in a local SQLite file."""
