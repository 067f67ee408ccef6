"""The loop, its losses, checkpoints, arithmetic, devices and watchers."""
