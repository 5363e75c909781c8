"""Runtimes of an exported law behind one protocol."""

from .base import Kernel as Kernel
from .base import LocalUpdate as LocalUpdate
from .base import Rates as Rates
