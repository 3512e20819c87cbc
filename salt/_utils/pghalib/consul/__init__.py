"""Consul: its API, its configuration by version, policies and tokens."""
