"""Partners in the box, for integrators and for our own tests: they misbehave as a script says."""
