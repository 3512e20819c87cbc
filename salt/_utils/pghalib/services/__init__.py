"""The files that a service was started with, and the changes that it still has to read."""
