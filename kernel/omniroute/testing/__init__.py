"""For tests of plugins and of the gateway: a scripted upstream, recordings, a clock that stands still, shared checks.

Public and versioned like `omniroute.api`. Needs no test framework; the checks raise `AssertionError`.
"""

from omniroute.framing import FRAMINGS
from omniroute.passport import has_carrier
from omniroute.streaming import Incoming, collect, explode
from omniroute.testing.authorization import FakeAuthorization
from omniroute.testing.check_events import check_events
from omniroute.testing.check_provider import check_provider
from omniroute.testing.check_store import check_crash_safety, check_fast, check_store, write_until_killed
from omniroute.testing.check_strategy import check_strategy
from omniroute.testing.check_translator import check_translator
from omniroute.testing.clock import FakeClock
from omniroute.testing.received import ReceivedRequest
from omniroute.testing.recordings import Recording, random_cuts, split_everywhere, sse
from omniroute.testing.scripts import Close, Hang, Pause, Reply, Reset, Script, Send, Step, Stream, WaitFor
from omniroute.testing.upstream import Answer, Connection, FakeUpstream, Validator

__all__ = [
    "FRAMINGS",
    "Answer",
    "Close",
    "Connection",
    "FakeAuthorization",
    "FakeClock",
    "FakeUpstream",
    "Hang",
    "Incoming",
    "Pause",
    "ReceivedRequest",
    "Recording",
    "Reply",
    "Reset",
    "Script",
    "Send",
    "Step",
    "Stream",
    "Validator",
    "WaitFor",
    "check_crash_safety",
    "check_events",
    "check_fast",
    "check_provider",
    "check_store",
    "check_strategy",
    "check_translator",
    "collect",
    "explode",
    "has_carrier",
    "random_cuts",
    "split_everywhere",
    "sse",
    "write_until_killed",
]
