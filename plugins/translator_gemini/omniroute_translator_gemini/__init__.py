"""The Gemini generateContent dialect: requests and answers, both ways, streamed and whole.

Checked against the types of the vendor's Python SDK 3.4 and its API reference, 2026-11. Conventions shared with other dialects:

- A thought signature is `provider_metadata["gemini"]["thought_signature"]` of the part it came with.
- What other dialects want echoed back travels in a client's `thoughtSignature` (see `signatures`).
- A free-form (`custom`) tool call travels as the arguments `{"input": "<text>"}`, whoever declared the tool.
- An extension named `generationConfig/x` or `toolConfig/x` is the field `x` of that object, so that its loss points to it.

Fields are accepted in camelCase and snake_case and sent in camelCase.
"""

from omniroute.api import hookimpl
from omniroute_translator_gemini.translator import GeminiTranslator

__all__ = ["GeminiTranslator", "register_translators"]


@hookimpl
def register_translators() -> list[GeminiTranslator]:
    return [GeminiTranslator()]
