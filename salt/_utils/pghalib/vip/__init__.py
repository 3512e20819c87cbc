"""The virtual IP: the program that moves it, and where that program looks for the leader."""
