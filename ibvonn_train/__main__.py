"""``python -m ibvonn_train`` is ``ibvonn``."""

import sys

from .cli import main

sys.exit(main())
