"""Files of buckets and blobs: their contents on disk, queries for them, and the signed URLs that lead to them."""
