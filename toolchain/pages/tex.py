"""Tables as LaTeX, to be put into a paper with \\input."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.pages import plain
from toolchain.pages.table import Table

HEAD = (
    "% Written by spikeport. Put it into a document with \\input; the preamble needs\n"
    "% \\usepackage{longtable}. Tables are wide: landscape and a small size help.\n"
)

_TEXTS = ("text", "flags")

_LETTERS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\textquotedbl{}",
    "ε": r"$\varepsilon$",
    "δ": r"$\delta$",
    "₂": r"$_2$",
    "µ": r"\textmu{}",
    "−": r"$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "–": "--",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "\xa0": "~",
}
"""What LaTeX would take for markup, or has no letter for in its standard fonts."""


def escape(text: str) -> str:
    """A text on one line, as LaTeX prints it."""
    return "".join(_LETTERS.get(letter, letter) for letter in " ".join(text.split()))


def to_tex(table: Table) -> str:
    """One ``longtable``, with its caption and the label ``tab:NAME``."""
    kinds = "".join("l" if column.kind in _TEXTS else "r" for column in table.columns)
    head = _line([plain.label(column) for column in table.columns])
    rows = [
        _line([plain.cell(column, row[column.key]) for column in table.columns])
        for row in table.rows
    ]
    return "\n".join(
        [
            f"\\begin{{longtable}}{{{kinds}}}",
            f"\\caption{{{escape(table.caption)}}}\\label{{tab:{table.name}}}\\\\",
            f"\\hline {head}\\hline\\endhead",
            *rows,
            "\\hline",
            "\\end{longtable}",
            "",
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(escape, cells)) + " \\\\"


def document(tables: Sequence[Table], first: str = "") -> str:
    """A file of several tables; those without rows are left out. ``first``: a remark above them
    all."""
    remark = f"% {' '.join(first.split())}\n" if first else ""
    return HEAD + remark + "\n".join(["", *(to_tex(table) for table in tables if table.rows)])
