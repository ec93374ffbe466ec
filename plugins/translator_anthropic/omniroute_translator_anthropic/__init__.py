"""The Anthropic Messages dialect: requests and answers, both ways, streamed and whole.

Checked against the types of the vendor's Python SDK 2.12 and its API reference, 2026-11.
"""

from omniroute.api import hookimpl
from omniroute_translator_anthropic.translator import AnthropicTranslator

__all__ = ["AnthropicTranslator", "register_translators"]


@hookimpl
def register_translators() -> list[AnthropicTranslator]:
    return [AnthropicTranslator()]
