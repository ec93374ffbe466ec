"""What translators of any dialect need and no dialect owns: JSON read with pointers, schemas checked, names that fit, losses
written down, failures reported, models listed.

Pure, and public by way of `omniroute.api`. What only one vendor's dialects share is not here: it is written in each.
"""

from omniroute.toolbox.bodies import BodyReader
from omniroute.toolbox.folding import fold
from omniroute.toolbox.json_reading import Malformed, read_json, read_json_list, read_json_object
from omniroute.toolbox.ledger import Ledger
from omniroute.toolbox.listing import decode_model_list, encode_model_list, encode_model_list_entry
from omniroute.toolbox.naming import NameRule, ToolNames, short_digest
from omniroute.toolbox.reports import ERROR_WORDS, is_retryable, reported, retry_headers
from omniroute.toolbox.schemas import MAX_SCHEMA_BYTES, check_schema, referred_schema
from omniroute.toolbox.splicing import with_model

__all__ = [
    "ERROR_WORDS",
    "MAX_SCHEMA_BYTES",
    "BodyReader",
    "Ledger",
    "Malformed",
    "NameRule",
    "ToolNames",
    "check_schema",
    "decode_model_list",
    "encode_model_list",
    "encode_model_list_entry",
    "fold",
    "is_retryable",
    "read_json",
    "read_json_list",
    "read_json_object",
    "referred_schema",
    "reported",
    "retry_headers",
    "short_digest",
    "with_model",
]
