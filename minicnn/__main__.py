"""`python -m minicnn NAME` is `minicnn NAME`."""

import sys

from minicnn.commands import main

sys.exit(main())
