"""Networks as files for other runtimes: one module a format, and the check that each must pass."""
