"""The drill: what clients and observers of a cluster saw while it was harmed, and the verdict on it."""
