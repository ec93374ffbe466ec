"""Start each request at the next target."""
