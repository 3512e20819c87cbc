"""What a host has to be before anything is changed."""
