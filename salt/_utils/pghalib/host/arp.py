"""Which hardware addresses answer for IPv4 addresses: asked by ARP, without claiming an address (RFC 5227)."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    from collections.abc import Collection

BROADCAST = b"\xff" * 6
REQUEST = 1
_ARP = 0x0806


def neighbours(device: str, wanted: Collection[str], timeout: float) -> dict[str, list[str]]:
    """
    Return the hardware addresses that answer for each of several addresses: ``{address: [mac, …]}``. The own one is
    never listed: a host does not answer its own request.

    device
        Name of the interface to ask on.
    wanted
        IPv4 addresses in the network of the interface.
    timeout
        Seconds to collect answers; three requests are sent in that time.

    Raises CommandExecutionError where raw sockets are not allowed.
    """
    found: dict[str, set[str]] = {address: set() for address in wanted}
    packed = {socket.inet_aton(address): address for address in wanted}
    try:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP))
    except PermissionError:
        raise CommandExecutionError("ARP cannot be asked here: raw sockets need root and CAP_NET_RAW")
    with raw:
        raw.bind((device, _ARP))
        own = raw.getsockname()[4]
        end = time.monotonic() + timeout
        questions = [time.monotonic() + timeout * part for part in (0, 0.25, 0.5)]
        while (now := time.monotonic()) < end:
            if questions and now >= questions[0]:
                questions.pop(0)
                for target in packed:
                    raw.send(request(own, target))
            raw.settimeout(max(0.001, min([end, *questions[:1]]) - now))
            with contextlib.suppress(TimeoutError, BlockingIOError):
                answer = sender(raw.recv(2048))
                if answer and answer[0] in packed and answer[1] != own:
                    found[packed[answer[0]]].add(answer[1].hex(":"))
    return {address: sorted(macs) for address, macs in found.items()}


def request(own: bytes, target: bytes) -> bytes:
    """
    Return the frame that asks who has an address. The sender's protocol address is zero, so the frame claims nothing.

    own
        The own hardware address, 6 bytes.
    target
        The address that is asked for, 4 bytes.
    """
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, REQUEST) + own + b"\0" * 4 + b"\0" * 6 + target
    return BROADCAST + own + b"\x08\x06" + body


def sender(frame: bytes) -> tuple[bytes, bytes] | None:
    """Return (protocol address, hardware address) of the sender of an ARP packet; None for any other packet."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x06" or frame[14:20] != b"\x00\x01\x08\x00\x06\x04":
        return None
    return frame[28:32], frame[22:28]
