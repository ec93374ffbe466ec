"""Each dialect as its service answers and as its client reads, written apart from the translators they are to judge.

`VOICES` holds one `Voice` per dialect: it plays the service for `FakeUpstream` (`reply`, `refusal`, `validate`), reads what a
client got with the types of the vendor's own SDK (`read`, `read_error`), and says what a request asks for in words that all
dialects share (`asked`). `written` is the way back from `asked`.
`Pair` is two translators back to back. Needs the packages openai, anthropic and google-genai.
"""

from omniroute.testing.dialects.anthropic import AnthropicVoice
from omniroute.testing.dialects.chat import ChatVoice
from omniroute.testing.dialects.gemini import GeminiVoice
from omniroute.testing.dialects.installed import installed_translators
from omniroute.testing.dialects.neutral import Answered, Asked, Block, Call, Finish, Voice
from omniroute.testing.dialects.pair import Pair
from omniroute.testing.dialects.responses import ResponsesVoice
from omniroute.testing.dialects.writing import written

__all__ = [
    "VOICES",
    "Answered",
    "Asked",
    "Block",
    "Call",
    "Finish",
    "Pair",
    "Voice",
    "installed_translators",
    "written",
]

VOICES: dict[str, Voice] = {
    voice.dialect: voice for voice in (ChatVoice(), ResponsesVoice(), AnthropicVoice(), GeminiVoice())
}
