"""A host as root has to take it: files without following others' links, users, addresses."""
