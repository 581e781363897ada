"""Uploads to buckets and downloads from them."""
