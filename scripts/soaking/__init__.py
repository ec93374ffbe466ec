"""Long runs against a real gateway process: `scripts/soak`. The test suite runs a few cycles of the same."""
