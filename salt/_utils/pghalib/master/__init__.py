"""Code of the master: answers of hosts, turns of a rolling restart, the report."""
