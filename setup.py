"""What pyproject.toml cannot say: a wheel holds the folder ``examples``, as the package
``spikeport_examples``, for ``spikeport examples``."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithExamples(build_py):
    """Copies the examples beside the packages that are built. An editable install needs no copy."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return

        target = Path(self.build_lib) / "spikeport_examples"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree("examples", target, ignore=shutil.ignore_patterns("__pycache__", ".*"))


setup(cmdclass={"build_py": BuildWithExamples})
