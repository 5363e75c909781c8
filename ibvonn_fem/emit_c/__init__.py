"""One C file of an exported law, with entry points of host codes."""

from .emit import emit_c as emit_c
