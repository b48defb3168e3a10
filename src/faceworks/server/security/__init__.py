"""Who may do what: keys, roles, sessions of the page, headers."""
