"""What translators of any dialect need and no dialect owns: JSON read with pointers, names that fit, losses written down.

Pure, and public by way of `omniroute.api`. What only one vendor's dialects share is not here: it is written in each.
"""

from omniroute.toolbox.bodies import BodyReader
from omniroute.toolbox.folding import fold
from omniroute.toolbox.json_reading import Malformed, read_json, read_json_list, read_json_object
from omniroute.toolbox.ledger import Ledger
from omniroute.toolbox.naming import NameRule, ToolNames, short_digest

__all__ = [
    "BodyReader",
    "Ledger",
    "Malformed",
    "NameRule",
    "ToolNames",
    "fold",
    "read_json",
    "read_json_list",
    "read_json_object",
    "short_digest",
]
