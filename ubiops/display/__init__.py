"""How models show themselves: tables for notebooks, and no credentials anywhere."""
