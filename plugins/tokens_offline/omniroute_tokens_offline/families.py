"""Which models count how.

OpenAI's vocabularies are OpenAI's own data, so for its models the text is counted exactly. For the others the closest
vocabulary stands in, times a factor. Factors were measured on 2026-11-22 against each family's own tokenizer (its published
`tokenizer.json` or `tekken.json`; for Claude the offline reconstruction `ctok` 1.3): tokens of both over 1.2 MB of Python,
C, JavaScript, shell, diffs, JSON, logs, Markdown, English prose and the prompts and tool declarations of seven coding
clients. `measured` is the least and the most that one kind of text differed, as a factor; `factor` is that of the whole. Text
in other scripts differs more (Japanese, Russian, Chinese: 0.7 to 1.6). A model of no family here is not claimed.
"""

import functools
import re

import msgspec

from omniroute.api import TokenOverhead
from omniroute_tokens_offline.images import ByDetail, ImageRule, Patches, ScaledTiles, Tiles
from omniroute_tokens_offline.vocabulary import VocabularyName

__all__ = ["FAMILIES", "Family", "family_of"]


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Models that share a tokenizer."""

    name: str
    ids: str
    """Regular expression, looked for in the lower-case id after its last slash, where no letter or digit stands before."""
    vocabulary: VocabularyName = "o200k_base"
    factor: float = 1.0
    measured: tuple[float, float] = (1.0, 1.0)
    overhead: TokenOverhead = TokenOverhead()
    image: ImageRule | None = None
    """None: nothing published."""


OPENAI = TokenOverhead(per_request=3, per_message=3)
"""OpenAI's cookbook, "How to count tokens with tiktoken" (read 2026-11-22)."""
# Anthropic's docs, "Tool use": the prompt that comes with tools (most recent models), and "Vision": patches of 28 px, up to
# 1568 px and tokens, or 2576 px and 4784 tokens (read 2026-11-22). Its count for one message is 6 or 7 more than its text.
CLAUDE_3 = TokenOverhead(per_request=3, per_message=4, with_tools=497)
CLAUDE_4_7 = TokenOverhead(per_request=3, per_message=4, with_tools=354)

FAMILIES = (
    Family(
        name="Claude, from Opus 4.7 and Sonnet 5",
        ids=r"claude-(?:[a-z]+-)?(?:4[-.](?:[7-9]|\d\d)|[5-9])(?!\d)",
        factor=1.56,
        measured=(1.43, 1.77),
        overhead=CLAUDE_4_7,
        image=Patches(side_px=28, most=4784, long_edge_px=2576),
    ),
    Family(
        name="Claude 3 to 4.6",
        ids=r"claude-(?:[a-z]+-)?[34](?!\d)",
        factor=1.2,
        measured=(1.06, 1.35),
        overhead=CLAUDE_3,
        image=Patches(side_px=28, most=1568, long_edge_px=1568),
    ),
    # OpenAI's docs, "Images and vision", calculating costs (read 2026-11-22)
    Family(
        name="GPT-4.1 mini, GPT-5 mini",
        ids=r"gpt-(?:4\.1|5)-mini",
        overhead=OPENAI,
        image=Patches(side_px=32, most=1536, factor=1.62),
    ),
    Family(
        name="GPT-4.1 nano, GPT-5 nano",
        ids=r"gpt-(?:4\.1|5)-nano",
        overhead=OPENAI,
        image=Patches(side_px=32, most=1536, factor=2.46),
    ),
    Family(name="o4-mini", ids=r"o4-mini", overhead=OPENAI, image=Patches(side_px=32, most=1536, factor=1.72)),
    Family(name="GPT-4o mini", ids=r"gpt-4o-mini", overhead=OPENAI, image=ScaledTiles(base=2833, tile=5667)),
    Family(
        name="GPT-4o, 4.1, 4.5",
        ids=r"(?:chat)?gpt-4(?:o|\.1|\.5)",
        overhead=OPENAI,
        image=ScaledTiles(base=85, tile=170),
    ),
    Family(name="GPT-5", ids=r"gpt-5", overhead=OPENAI, image=ScaledTiles(base=70, tile=140)),
    Family(name="o1, o3", ids=r"o[13](?![a-z0-9.])", overhead=OPENAI, image=ScaledTiles(base=75, tile=150)),
    Family(name="gpt-oss", ids=r"gpt-oss", overhead=OPENAI),
    Family(
        name="GPT-3.5, GPT-4",
        ids=r"gpt-(?:4(?![a-z0-9.])|3\.?5)",
        vocabulary="cl100k_base",
        overhead=OPENAI,
        image=ScaledTiles(base=85, tile=170),
    ),
    # Google's docs, "Understand and count tokens" and "Media resolution" (read 2026-11-22); its SDK counts Gemini's text
    # with Gemma 3's tokenizer, and so was the factor measured.
    Family(name="Gemini 3", ids=r"gemini-3", factor=1.14, measured=(1.02, 1.25), image=ByDetail(usual=1120, low=280)),
    Family(name="Gemini 2", ids=r"gemini-2", factor=1.14, measured=(1.02, 1.25), image=Tiles(tile=258)),
    Family(name="Gemma 3", ids=r"gemma-?3", factor=1.14, measured=(1.02, 1.25)),
    Family(name="Llama 3", ids=r"llama-?3", measured=(0.98, 1.01)),
    Family(name="Qwen 3.5, 3.6", ids=r"qwen-?3\.[56]", factor=1.08, measured=(1.0, 1.17)),
    Family(name="Qwen 2 to 3", ids=r"(?:qwen-?(?:2(?:\.5)?|3)|qwq)(?![.\d])", factor=1.03, measured=(0.99, 1.11)),
    Family(
        name="DeepSeek V3 to V4",
        ids=r"deepseek-(?:v[34]|r1(?!-distill)|chat|reasoner)",
        factor=1.06,
        measured=(1.01, 1.11),
    ),
    Family(name="GLM 4 and 5", ids=r"glm-?[45]", measured=(0.98, 1.03)),
    Family(name="MiniMax M and Text", ids=r"minimax-(?:m[1-3]|text)", measured=(0.98, 1.03)),
    Family(
        name="Mistral, with tekken",
        ids=r"mistral-(?:nemo|small)|ministral|devstral|magistral|pixtral",
        factor=1.08,
        measured=(1.02, 1.14),
    ),
)
"""In the order they are tried."""
PATTERNS = tuple((re.compile(rf"(?<![a-z0-9])(?:{family.ids})"), family) for family in FAMILIES)


@functools.lru_cache(maxsize=1024)
def family_of(model: str) -> Family | None:
    """`model` as an upstream spells it: `gpt-5`, `openai/gpt-5-mini:free`, `us.anthropic.claude-opus-4-6-v1:0`."""
    name = model.rpartition("/")[2].lower()
    return next((family for pattern, family in PATTERNS if pattern.search(name)), None)
