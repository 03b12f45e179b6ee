"""Studies: one question each, asked of many networks, answered with error bars on one page.

    spikeport study leak examples/studies/leak.toml -o runs/leak

A study (``STUDIES``) is a module with three functions, or an object with three such methods:

    read(table, where, folder) -> plan          the TOML file's table, checked; paths in it start from ``folder``; raises ConfigError
    cells(plan) -> list[Cell]                   what has to be computed (toolchain.studies.base)
    findings(plan, results) -> Findings         what it says (toolchain.studies.page); results: key of a cell -> what it returned

``study.run`` reads, computes what is missing, and writes RUN/NAME.html and RUN/NAME.csv.
"""

STUDIES: dict[str, str] = {
    "leak": "toolchain.studies.leak:LEAK",
    "steps": "toolchain.studies.steps:STEPS",
    "quantisation": "toolchain.studies.quantisation:QUANTISATION",
    "margin": "toolchain.studies.margin",
    "networks": "toolchain.studies.networks",
}
"""Name of a study -> its module, or module:object."""
