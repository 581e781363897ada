"""Running uploaded code: builds, instances (worker processes) and the queues in front of them."""
