"""Packages that the emulator brings itself: of commands, and of training."""
