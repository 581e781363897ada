"""`map_requests`: requests to a deployment or a pipeline for any number of inputs."""
