"""The official SDK as judge of what this translator sends and answers."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParams
from pydantic import TypeAdapter

SDK = TypeAdapter(CompletionCreateParams)


def consume(value: Any) -> None:
    """pydantic checks an `Iterable` only while it is read."""
    if isinstance(value, dict):
        for member in value.values():
            consume(member)
    elif isinstance(value, list | Iterator) or hasattr(value, "__next__"):
        for member in value:
            consume(member)


@pytest.fixture(scope="session")
def accept_request() -> Callable[[dict[str, Any]], None]:
    """Raises `ValidationError` for a request body the SDK has no words for."""

    def accept(body: dict[str, Any]) -> None:
        consume(SDK.validate_python(body))

    return accept
