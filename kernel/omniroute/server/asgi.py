"""ASGI as this package sees it. Loose on purpose: frameworks type scope and messages each in their own way."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

__all__ = ["Application", "Receive", "Scope"]

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
