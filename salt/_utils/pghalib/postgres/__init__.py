"""PostgreSQL: its parameters, where it comes from, where its data are."""
