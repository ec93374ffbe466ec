"""The two narrow views a connection gives of itself to parts that should not see more."""

from collections.abc import Callable
from typing import Protocol

__all__ = ["BodyOf", "Outlet"]


class Connection(Protocol):
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...
    def close_gently(self) -> None: ...


class BodyOf:
    """What a parser sees of a connection of which only the body of the current request is still read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._whole = False

    def on_body(self, body: bytes) -> None:
        if not self._whole:
            self._connection.on_body(body)

    def on_message_complete(self) -> None:
        if not self._whole:
            self._whole = True
            self._connection.on_message_complete()


class Outlet:
    """The transport as uvicorn's request cycle uses it, except that closing waits for what the client still sends."""

    write: Callable[[bytes], None]
    is_closing: Callable[[], bool]

    def __init__(self, connection: Connection) -> None:
        self.close = connection.close_gently
