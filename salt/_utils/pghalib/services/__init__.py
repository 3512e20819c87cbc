"""
The services of a host: the files that each was started with, and the changes that it still has to read.

The notes belong to root, below /run: after a reboot they are gone, and every service reads its files at its start.
"""

#: Directory of the notes; the units write there, too.
DIRECTORY = "/run/pgha"
#: Directory of the units.
UNITS = "/etc/systemd/system"
