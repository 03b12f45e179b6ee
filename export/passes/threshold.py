"""An integrator followed by a Threshold node is one spiking population that is never reset."""

from __future__ import annotations

import nir

from export.passes.subgraphs import Flat


def fuse(flat: Flat) -> tuple[Flat, dict[str, str]]:
    """The graph with each such pair as one node under the integrator's name; and integrator → name
    of its Threshold.

    A Threshold with other sources stays: it becomes a population without memory.
    """
    nodes, edges, fused = dict(flat.nodes), list(flat.edges), {}
    for name, node in flat.nodes.items():
        sources = flat.sources(name)
        if not isinstance(node, nir.Threshold) or len(sources) != 1:
            continue
        before = nodes[sources[0]]
        if not isinstance(before, (nir.I, nir.LI, nir.CubaLI)) or sources[0] in fused:
            continue

        shared = {"v_threshold": node.threshold}
        if isinstance(before, nir.I):
            joined = nir.IF(r=before.r, **shared)
        elif isinstance(before, nir.LI):
            joined = nir.LIF(tau=before.tau, r=before.r, v_leak=before.v_leak, **shared)
        else:
            shared |= {"r": before.r, "v_leak": before.v_leak, "w_in": before.w_in}
            joined = nir.CubaLIF(tau_syn=before.tau_syn, tau_mem=before.tau_mem, **shared)

        nodes[sources[0]] = joined
        del nodes[name]
        edges = [(sources[0] if a == name else a, b) for a, b in edges if b != name]
        fused[sources[0]] = name
    return Flat(nodes, edges, set(flat.virtual)), fused
