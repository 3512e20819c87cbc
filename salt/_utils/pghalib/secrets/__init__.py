"""The secrets of an inventory: made, stored, served, and the authorities of certificates."""
