"""Runs a .net on lava-dl's own netx; by the interpreter of the lava-dl environment, never by ours.

    python netx_run.py NETWORK.net INPUT.npy OUTPUT.npy

INPUT: binary spikes [neuron, step]. OUTPUT: spikes of the last layer [neuron, step], as Lava's
clock has them.
"""

import sys

import numpy as np


def main(network: str, source: str, target: str) -> None:
    from lava.lib.dl.netx import hdf5
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    spikes = np.load(source, allow_pickle=False)
    net = hdf5.Network(net_config=network)
    given = Source(data=spikes.astype(np.int32))
    taken = Sink(shape=net.out.shape, buffer=spikes.shape[1])
    given.s_out.connect(net.inp)
    net.out.connect(taken.a_in)
    net.run(
        condition=RunSteps(num_steps=spikes.shape[1]), run_cfg=Loihi2SimCfg(select_tag="fixed_pt")
    )
    result = taken.data.get()
    net.stop()
    np.save(target, result.astype(np.uint8))


if __name__ == "__main__":
    main(*sys.argv[1:])
