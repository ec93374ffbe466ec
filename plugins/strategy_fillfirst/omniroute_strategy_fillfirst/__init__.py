"""Use the first target until it fails."""
