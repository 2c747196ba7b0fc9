"""`python -m nnlet` is `nnlet`."""

from nnlet.cli import main

if __name__ == "__main__":
    main()
