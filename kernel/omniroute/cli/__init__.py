"""The `omniroute` command. Imports nothing of the server until a command needs it."""


def main() -> int:
    raise NotImplementedError
