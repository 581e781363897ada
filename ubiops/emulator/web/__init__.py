"""Requests and answers: read and checked by the document, limited, written."""
