"""Small networks with closed-form derivatives; nothing here knows any physics."""

from .icnn import InputConvexNetwork as InputConvexNetwork
from .mlp import TanhNetwork as TanhNetwork
from .ridge import ConvexRidge as ConvexRidge

__all__ = ["ConvexRidge", "InputConvexNetwork", "TanhNetwork"]
