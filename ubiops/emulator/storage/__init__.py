"""Files of buckets and blobs: their contents on disk, which there are, and the signed URLs that lead to them."""
