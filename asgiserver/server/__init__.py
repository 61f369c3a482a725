"""One process: listeners, connections, clock, lifespan, staged stop."""
