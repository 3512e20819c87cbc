"""What is a fault of the pillar: every value in its place, and how they fit together."""
