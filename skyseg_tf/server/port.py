"""The address on which a command listens."""

import socket

from skyseg_tf.errors import InputError


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Args:
      host: name or address of this machine, IPv4 or IPv6.
      port: 0 takes a free one.

    Raises:
      InputError: no such port or address here, one that is taken, or one that needs more rights.
    """
    if not 0 <= port < 65536:
        raise InputError(f"--port is {port}: give 1 to 65535, or 0 for any that is free")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror).split(" (")[0]  # Python repeats the address in brackets
        raise InputError(
            f"cannot listen on {host}, port {port}: {reason}; give another --port or --host"
        ) from None
