"""The checks of a host before anything is changed."""
