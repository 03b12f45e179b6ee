"""From a trained model to an integer program, with NIR in between.

    graph = export.read("model.nir")              NIR graph, checked
    export.write(graph, "copy.nir", force=False)  atomic; readable by ``nir.read``
    graph = export.state(graph, reset="zero")     says what the file leaves open, once and for all
    lowered = export.lower(graph, dt=1e-3)        lowered.program (hardware.Program) and
                                                  lowered.audit
    lowered = export.netx.load("network.net")     the same from lava-dl's .net
    export.attribute(graph, inputs, dt=1e-3)      which parameters the integers lose spikes by

Import needs numpy, h5py and nir; torch comes in only under ``export.frameworks``.
"""

from export import netx
from export.attribution import Attribution, attribute
from export.audit import Audit
from export.errors import ExportError
from export.graph import read, write
from export.lower import Lowered, lower
from export.reading import state

__all__ = [
    "Attribution",
    "Audit",
    "ExportError",
    "Lowered",
    "attribute",
    "lower",
    "netx",
    "read",
    "state",
    "write",
]
