"""The parts of scripts/bench: a scripted upstream, a load generator, a bare proxy, and what measures the gateway between."""
