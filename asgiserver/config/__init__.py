"""Options: what there is, which values they take, and where the values come from."""
