"""How models are shown: tables for notebooks, and no credentials anywhere."""
