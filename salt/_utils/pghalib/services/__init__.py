"""What a service was started with, and what it has still to read."""
