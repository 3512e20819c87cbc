"""A Salt master and six or more real systemd hosts on this machine, in namespaces of their own (docs: `lab --help`)."""

from .core import Host, Lab
from .tools import LabError

__all__ = ["Host", "Lab", "LabError"]
