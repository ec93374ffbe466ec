"""Plain OpenAI- and Anthropic-compatible providers, one row each."""
