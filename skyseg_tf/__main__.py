"""`python -m skyseg_tf`, the same as `skyseg`."""

from skyseg_tf.console.cli import main

if __name__ == "__main__":
    main()
