"""Ctrl-C and SIGTERM for the process of the tests itself."""

import _thread
import signal


def strike(number: int = signal.SIGINT) -> None:
    """What follows a signal's arrival, without sending one: its handler runs in the main thread.

    A real one has ended processes in which many libraries had been at work for minutes, by a
    segmentation fault: pytest's faulthandler gives the main thread a stack of its own for handlers,
    on which the kernel of some virtual machines could not write. Commands in processes of their own
    get real signals.
    """
    _thread.interrupt_main(number)
