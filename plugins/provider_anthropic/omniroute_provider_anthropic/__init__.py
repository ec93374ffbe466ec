"""Anthropic by API key."""
