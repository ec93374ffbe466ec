"""One row per request in a local SQLite file, `requests.db` in the data directory.

Figures, names and outcomes only: never a prompt, an answer or a credential. `[plugins.telemetry-sqlite] keep_days` says how
long rows are kept.
"""

from typing import Annotated

import msgspec

from omniroute.api import Settings, hookimpl
from omniroute_telemetry_sqlite.sink import SqliteSink

__all__ = ["Options", "register_telemetry_sinks"]

DAY_S = 86_400.0


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keep_days: Annotated[float, msgspec.Meta(ge=0, le=36_500)] = 90
    """Older rows are deleted; 0 keeps them for ever."""


@hookimpl
def register_telemetry_sinks(settings: Settings) -> list[SqliteSink]:
    options = settings.plugin("telemetry-sqlite", Options)
    return [SqliteSink(settings.data_dir / "requests.db", keep_s=options.keep_days * DAY_S)]
