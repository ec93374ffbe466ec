"""OpenAI by API key."""
