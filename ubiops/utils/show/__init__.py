"""Models, metrics and pipelines shown to people: tables and plots."""
