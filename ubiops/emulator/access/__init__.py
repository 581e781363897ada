"""Access control: tokens, members, roles and permissions."""
