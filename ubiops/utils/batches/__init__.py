"""Any number of inputs through a deployment or a pipeline."""
