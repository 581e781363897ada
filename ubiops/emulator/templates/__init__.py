"""The emulator's own packages, for commands and for training."""
