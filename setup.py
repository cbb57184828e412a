"""Puts the examples into the package `agents`, so that the demo of an installed wheel finds them. All else about the
distribution is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithExamples(build_py):
    """Copies `examples` to `agents/examples`, but not for an editable installation, which has the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            inside = Path(self.build_lib) / "agents" / "examples"
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree("examples", inside, ignore=ignore, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithExamples})
