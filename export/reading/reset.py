"""How neurons are reset that state it nowhere, or by v_reset alone."""

from __future__ import annotations

import numpy as np

from export.dialects import DIALECTS
from export.reading.draft import Draft
from hardware.parameters import parameter
from hardware.program import RESETS


def settle_resets(draft: Draft) -> None:
    """State what is told of them, or ask for it; v_reset alone is taken at its word, and said."""
    reset, names = draft.told.reset, [*draft.open, *draft.free]
    if not names:
        return
    if reset is not None:
        for name in names:
            draft.set_reset(name, reset, "given by the caller")
        others = ", ".join(r for r in RESETS if r != reset)
        zero = "v_reset is 0, which nir 1.0.6 and later write where nobody says anything"
        what = "the file states none" if draft.open else zero
        draft.kept.append(
            f"reset {reset}: given by the caller; {what}. The other readings: {others}"
        )
        return
    if draft.open:
        version = draft.meta["origin"].get("nir_version")
        written = f" (written by nir {version})" if version else ""
        draft.questions.append(
            f"{draft.label(draft.open[0])}: the file{written} does not state how a neuron is "
            f"reset: say it with {parameter('reset')} ({', '.join(RESETS)}), or name the writer "
            f"with {parameter('dialect')} ({', '.join(DIALECTS)}); {len(draft.open)} nodes need it"
        )

    filled = [n for n in draft.free if not np.any(draft.nodes[n].v_reset)]
    if filled:
        many = f"{len(filled)} node{'s' * (len(filled) != 1)}"
        draft.passing.append(
            f"reset zero ({many}): by v_reset 0, as NIR 1.0.6 and later define it; they write 0 "
            "where nobody says anything, too. The other readings: subtract, none "
            f"({parameter('reset')}, {parameter('dialect')})"
        )
