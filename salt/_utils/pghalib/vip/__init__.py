"""The virtual IP: what moves it, and whom that asks."""
