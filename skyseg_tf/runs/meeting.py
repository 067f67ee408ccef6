"""The port at which the processes of one training meet."""

import socket


def hold_port(port: int = 0) -> socket.socket:
    """Keeps a port of this machine for JAX's coordinator, which may listen there all the same.

    Another process could take one that was found free before JAX listens there.

    Args:
      port: 0 takes a free one.

    Returns:
      What holds it until it is closed.

    Raises:
      OSError: another process has it.
    """
    both = socket.has_dualstack_ipv6()  # JAX listens on all addresses of the machine
    held = socket.socket(socket.AF_INET6 if both else socket.AF_INET)
    try:
        if both:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if hasattr(socket, "SO_REUSEPORT"):  # JAX's server has it too: both may have the port
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if port:  # connections of a server that has ended may linger there
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("", port))
    except OSError:
        held.close()
        raise
    return held
