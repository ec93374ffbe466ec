"""The durable store in one SQLite file: what the kernel uses unless a plugin opens another `Store`."""

from omniroute.store.sqlite import SqliteStore

__all__ = ["SqliteStore"]
