import pytest

from tests.toolchain.report.synthetic import write_run
from toolchain.report.gather import gather
from toolchain.report.run import load


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A run that was made up, see ``synthetic``."""
    return write_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="session")
def gathered(run_folder):
    """(facts, examples) of it."""
    return gather(load(run_folder))
