"""What the client promises where servers, networks and signals do their worst, and the proof of it."""
