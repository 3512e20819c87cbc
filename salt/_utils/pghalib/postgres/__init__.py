"""PostgreSQL: its parameters, its apt source, the place of its data."""
