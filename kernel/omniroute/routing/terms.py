"""What a request may cost and be kept from: the settings as they hold for one route. Put together at start."""

import msgspec

from omniroute.settings import ComboSettings, Settings

__all__ = ["Terms", "terms_of"]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    max_attempts: int = 3
    """Sent attempts, over everything inside a combo."""
    first_byte_s: float | None = None
    """The combo's own word, before that of providers; None is no word. 0 is without end."""
    first_content_deadline_s: float = 180.0
    """Over all candidates; 0 is without end."""
    session_affinity: bool = True
    skip_incapable: bool = True


def terms_of(settings: Settings, combo: ComboSettings | None = None) -> Terms:
    """What the combo says, else what the settings say for every request."""
    routing, timeouts = settings.routing, settings.timeouts
    base = Terms(
        max_attempts=routing.max_attempts,
        first_content_deadline_s=timeouts.first_content_deadline_s,
        session_affinity=routing.session_affinity,
        skip_incapable=routing.skip_incapable,
    )
    if combo is None:
        return base
    said = {name: value for name in Terms.__struct_fields__ if (value := getattr(combo, name)) is not None}
    return msgspec.structs.replace(base, **said)
