"""Reading a client's JSON: what does not fit becomes an `InvalidRequest` that says where, what, and what to do."""

from omniroute.api import BodyReader

__all__ = ["check_base64", "check_schema", "data_url", "decode", "refusal"]

FIXES = {
    "role": "roles are system, developer, user, assistant, tool and function",
    "type": "parts are text, image_url, input_audio and file for users, text and refusal for the assistant, text elsewhere",
    "reasoning_effort": "use none, minimal, low, medium, high, xhigh or max",
}

_READER = BodyReader(FIXES)
decode = _READER.decode
refusal = _READER.refusal
data_url = _READER.data_url
check_base64 = _READER.check_base64
check_schema = _READER.check_schema
