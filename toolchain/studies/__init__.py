"""Studies: one question each, asked of many networks, answered with error bars on one page.

    spikeport study leak examples/studies/leak.toml -o runs/leak

A study (``registry.STUDIES``) is a module with these, or an object with them as methods:

    settings                                    the dataclass that its TOML file fills
    read(table, where, folder) -> plan          the TOML file's table, checked; paths in it start
                                                from ``folder``; raises ConfigError
    cells(plan) -> list[Cell]                   what has to be computed (toolchain.studies.base)
    findings(plan, results) -> Findings         what it says (toolchain.studies.page); results: key
                                                of a cell -> what it returned

``study.run`` reads, computes what is missing, and writes RUN/NAME.html and RUN/NAME.csv.
"""
