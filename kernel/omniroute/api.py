"""The public names, in one place. Defines nothing."""

from msgspec import Raw

from omniroute import contracts, errors, model, toolbox
from omniroute.carrier import carried, carried_places, carry
from omniroute.contracts import *  # noqa: F403
from omniroute.errors import *  # noqa: F403
from omniroute.hookspecs import hookimpl
from omniroute.losses import extension_losses
from omniroute.model import *  # noqa: F403
from omniroute.provider import FactsProvider
from omniroute.secret import Secret
from omniroute.settings import Settings
from omniroute.toolbox import *  # noqa: F403

__all__ = [
    "FactsProvider",
    "Raw",
    "Secret",
    "Settings",
    "carried",
    "carried_places",
    "carry",
    "extension_losses",
    "hookimpl",
]
__all__ += contracts.__all__
__all__ += errors.__all__
__all__ += model.__all__
__all__ += toolbox.__all__
