"""Who stored which answer: a request that goes on from one can be served by that account only. In memory, of limited size."""

__all__ = ["Threads"]

MAX_THREADS = 50_000
"""About 15 MB when full; then the oldest goes. What is forgotten is pinned no longer, and its upstream says what it knows."""


class Threads:
    def __init__(self, limit: int = MAX_THREADS) -> None:
        self._limit = limit
        self._owners: dict[bytes, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def stored(self, key: bytes, provider: str, account: str) -> None:
        """The answer with this key is kept by that account."""
        if len(self._owners) >= self._limit:
            del self._owners[next(iter(self._owners))]
        self._owners[key] = (provider, account)

    def owner(self, key: bytes) -> tuple[str, str] | None:
        """Provider and account; None when nobody knows."""
        return self._owners.get(key)
