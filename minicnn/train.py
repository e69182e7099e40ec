"""`python -m minicnn.train` is `minicnn train`."""

import sys

from minicnn.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
