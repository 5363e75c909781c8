"""The one thing that pyproject.toml cannot say: the wheel carries some of the exported models.

They have one place in the tree, exported_models/, and go into the package when a wheel is built. An
editable install reads them where they are.
"""

import ast
import shutil
from pathlib import Path
from typing import ClassVar

from setuptools import Command, setup
from setuptools.command.build import build

PACKAGE = Path("ibvonn_fem")
MODELS = Path("exported_models")


def carried_laws() -> tuple[str, ...]:
    """The names that ibvonn_fem/model/carried_laws.py lists, which cannot be imported yet."""
    source = (PACKAGE / "model/carried_laws.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CARRIED_LAWS":
            return tuple(ast.literal_eval(node.value))
    raise ValueError("ibvonn_fem/model/carried_laws.py: has no CARRIED_LAWS.")


class BuildCarriedLaws(Command):
    """Copy the carried laws into the package that is being built."""

    def initialize_options(self) -> None:
        """Say nothing yet, as setuptools wants it."""
        self.build_lib = None  # taken from build_py
        self.editable_mode = False

    def finalize_options(self) -> None:
        """Build where the modules are built."""
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        """Copy, unless the install is editable."""
        if self.editable_mode:
            return
        for target, source in self.get_output_mapping().items():
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def get_output_mapping(self) -> dict[str, str]:
        """Path in the build → path in the tree."""
        return {str(Path(self.build_lib, PACKAGE, name)): name for name in self.get_source_files()}

    def get_outputs(self) -> list[str]:
        """Paths in the build."""
        return list(self.get_output_mapping())

    def get_source_files(self) -> list[str]:
        """Files of the carried laws in the tree.

        Raises:
            ValueError: If a law is missing.
        """
        for name in carried_laws():
            if not (MODELS / name / "manifest.json").is_file():
                raise ValueError(f"{MODELS}: the law {name}, which the wheel carries, is missing.")
        paths = [path for name in carried_laws() for path in sorted((MODELS / name).iterdir())]
        return [path.as_posix() for path in paths if path.is_file()]


class Build(build):
    """The build of setuptools, and the carried laws."""

    sub_commands: ClassVar = [*build.sub_commands, ("build_carried_laws", None)]


setup(cmdclass={"build": Build, "build_carried_laws": BuildCarriedLaws})
