"""Offline demo models: echo, coder, and faults for drills."""
