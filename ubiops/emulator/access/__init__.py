"""Who may do what: tokens, members, roles and permissions."""
