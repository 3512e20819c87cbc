"""The drill: what clients and observers of a cluster saw while it was harmed, and the verdict on it."""

#: Name of the client's login and schema, and of what a cut makes in nftables.
NAME = "pgha_drill"
#: The client's table.
TABLE = f"{NAME}.ledger"
#: How many connections the client's login may have.
CONNECTIONS = 100
