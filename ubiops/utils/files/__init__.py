"""Files on their way to buckets and from them."""
