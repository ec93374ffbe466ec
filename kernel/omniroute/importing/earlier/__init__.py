"""The data directory of an OmniRoute from before this one: its SQLite database, or the JSON file of older versions.

Read and never written. Accounts are taken over; combos, aliases and compatible nodes become lines for the settings file, which
this program does not write either; client keys, passwords and logs stay where they are.
"""

from omniroute.importing.earlier.reading import EarlierData, earlier_directories, is_earlier, read_earlier

__all__ = ["EarlierData", "earlier_directories", "is_earlier", "read_earlier"]
