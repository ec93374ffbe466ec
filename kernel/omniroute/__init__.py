"""OmniRoute: one local endpoint for every coding CLI and every model provider. Plugins import `omniroute.api`."""

__version__ = "0.1.0"
