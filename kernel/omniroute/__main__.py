"""`python -m omniroute`."""

from omniroute.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
