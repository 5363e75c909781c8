"""``python -m ibvonn_fem`` is ``ibvonn-fem``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
