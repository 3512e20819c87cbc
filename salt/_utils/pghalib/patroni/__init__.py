"""Patroni: its configuration, its environment, the dynamic configuration."""
