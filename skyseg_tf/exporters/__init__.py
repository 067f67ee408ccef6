"""Networks as files of other runtimes: one module a format, and the gate that each must pass."""
