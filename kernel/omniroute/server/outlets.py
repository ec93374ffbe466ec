"""The narrow view a connection gives of itself to a parser that should see no more."""

from typing import Protocol

__all__ = ["BodyOf"]


class Connection(Protocol):
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


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
