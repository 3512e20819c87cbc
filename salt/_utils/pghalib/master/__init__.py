"""What the master decides and tells: answers of hosts, turns of a rolling restart, the report."""
