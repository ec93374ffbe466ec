"""API keys: client keys for the model API, and upstream keys as an auth scheme."""
