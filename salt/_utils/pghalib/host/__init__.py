"""What root does on a host: files (without following other users' links), users, addresses, neighbours."""
