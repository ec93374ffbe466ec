"""Keys in the environment, under the names that providers' facts give."""

from collections.abc import Iterator

import msgspec

from omniroute.importing.logins import token_of
from omniroute.importing.values import Found, ImportProvider, Machine, Tokens
from omniroute.keys import MANAGEMENT_PREFIX, PREFIX

__all__ = ["keys_of"]


def keys_of(provider: ImportProvider, machine: Machine) -> Iterator[Found]:
    for variable in provider.variables:
        text = machine.environ.get(variable)
        if not text:
            continue
        here = Found(provider=provider.name, name="env", source=f"${variable}", origin=f"env:{variable}", kind="key")
        yield _key(here, text)


def _key(here: Found, text: str) -> Found:
    if text.startswith((PREFIX, MANAGEMENT_PREFIX)):
        return msgspec.structs.replace(here, problem="it is a key of this gateway, not of the provider")
    key = token_of(text)
    if key is None:
        return msgspec.structs.replace(
            here, problem="it is no key: a key is one line of printable ASCII without spaces"
        )
    return msgspec.structs.replace(here, tokens=Tokens(key=key))
