"""The one attempt loop: the next candidate until the first content event, never after."""

from omniroute.attempts.loop import Attempts
from omniroute.attempts.resorts import AT_LIMIT

__all__ = ["AT_LIMIT", "Attempts"]
