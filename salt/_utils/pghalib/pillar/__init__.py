"""The faults of the pillar: in single values, and in how the values fit together."""
