"""Which names and addresses can only be reached on their own machine."""

from __future__ import annotations

__all__ = ["is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether `host`, an address or a name, is the loopback; of names only ``localhost`` is."""
    if host.lower().rstrip(".") == "localhost":
        return True
    import ipaddress  # here, because few starts need it

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
