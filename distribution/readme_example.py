"""Print the finite-element example of README.md, as a reader would copy it."""

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def example() -> str:
    """The only block of Python that solves a boundary-value problem."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    (block,) = (each for each in blocks if "InternalVariableProblem(" in each)
    return str(block)


if __name__ == "__main__":
    sys.stdout.write(example())
