"""Requests and answers: parsed and checked against the document, limited, rendered."""
