"""The Anthropic Messages dialect: requests and answers, both ways, streamed and whole.

Checked against the types of the vendor's Python SDK 2.12 and its API reference, 2026-11. Conventions shared with other dialects:

- A signature is `provider_metadata["anthropic"]["signature"]` of its reasoning; redacted thinking is reasoning without words and
  with `redacted_data`.
- What other vendors want back rides to the client in those same fields, packed by `carry` (see `carriers`); it is unpacked on
  the way in and never sent to an upstream.
"""

from omniroute.api import hookimpl
from omniroute_translator_anthropic.translator import AnthropicTranslator

__all__ = ["AnthropicTranslator", "register_translators"]


@hookimpl
def register_translators() -> list[AnthropicTranslator]:
    return [AnthropicTranslator()]
