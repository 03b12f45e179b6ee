"""Runs in Lava's interpreter: calls Lava's own models with chosen numbers and prints what they
answer, as JSON."""

import json
import warnings

import numpy as np
from lava.proc.conv.process import Conv
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.lif.process import LIF, LIFReset
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix

from hardware.lava.direct import _Channel, build_model

warnings.simplefilter("ignore")


def feed(process, frames, watch=()):
    """Call the model once for each frame; what it sends in each step, and the variables to watch
    after each step."""
    model = build_model(process)
    for ports, out in ((process.in_ports, False), (process.out_ports, True)):
        for port in ports:
            kind = getattr(type(model), port.name)
            channel = _Channel(port.shape, np.int32)
            setattr(model, port.name, kind.cls([channel], model, port.shape, kind.d_type))
            if out:
                sent = channel
            else:
                received = channel
    answers = []
    for step, frame in enumerate(frames):
        model.time_step = step + 1
        received.send(np.array(frame).reshape(received.shape))
        model.run_spk()
        answers.append(
            {
                "sent": sent.recv().ravel().tolist(),
                **{name: np.ravel(getattr(model, name)).tolist() for name in watch},
            }
        )
    return answers


def lif(frames, kind=LIF, **parameters):
    parameters = {"shape": (1,), "du": 4095, "dv": 0, "vth": 131072, **parameters}
    return feed(kind(**parameters), frames, ("u", "v"))


def raised(action):
    try:
        action()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def one_pixel(value, **parameters):
    """A 1x1 convolution of one pixel: the second answer holds what the first input gave."""
    parameters = {"input_shape": (1, 1, 1), "num_message_bits": 24, **parameters}
    return [
        a["sent"]
        for a in feed(
            Conv(weight=np.array(value).reshape(1, 1, 1, 1), **parameters), [[1 << 20], [0]]
        )
    ][1]


def two(process):
    """What one spike at every input gives one step later."""
    return feed(process, [np.ones(process.s_in.shape, int), np.zeros(process.s_in.shape, int)])[1][
        "sent"
    ]


def delayed(kind, delays, frames=4, wrap=np.array):
    weights = wrap(np.array([[3, 3]]))
    process = kind(
        weights=weights,
        delays=wrap(np.array([delays])),
        weight_exp=-1,
        sign_mode=SignMode.EXCITATORY,
    )
    return [a["sent"][0] for a in feed(process, [[1, 1]] + [[0, 0]] * (frames - 1))]


def mode(values, **parameters):
    return two(Dense(weights=np.array(values).reshape(-1, 1), **parameters))


def wide_convolution(stride):
    """Lava's Conv with a stride of this size along a row of 300 pixels, fed with one frame."""
    return feed(
        Conv(weight=np.ones((1, 1, 1, 1), int) * 2, input_shape=(300, 1, 1), stride=(stride, 1)),
        [np.ones(300, int), np.zeros(300, int)],
    )


answers = {
    "current_positive_limit": lif([[131072]])[0]["u"],
    "current_negative_limit": lif([[-131072]])[0]["u"],
    "current_wraps_once": lif([[1 << 23]])[0]["u"],
    "potential_saturates": [
        lif([[0]], v=v, bias_mant=b, bias_exp=7)[0]["v"]
        for v, b in ((8388000, 4095), (-8388000, -4096))
    ],
    "decay_rounds_to_zero": [lif([[0]], v=v, dv=1)[0]["v"] for v in (-1, 1, -100, 100)],
    "decay_of_everything": lif([[0]], v=12345, dv=4096)[0]["v"],
    "current_without_decay": [a["u"] for a in lif([[5], [0], [0]], du=-1)],
    "threshold_is_strict": [lif([[n]], vth=1)[0]["sent"] for n in (1, 2)],
    "spike_keeps_current": {k: lif([[10], [0]], du=0, vth=1)[0][k] for k in ("u", "v", "sent")},
    "chip_threshold_can_fire": [
        lif([[0]], bias_mant=4095, bias_exp=12, vth=vth)[0]["sent"] for vth in (131071, 131072)
    ],
    "bias_wraps_at_16_bits": lif([[0]], bias_mant=np.array([40000]).astype(np.int16))[0]["v"],
    "negative_bias_exponent_floors": lif([[0]], bias_mant=-1, bias_exp=-1)[0]["v"],
    "reset_before_integration": [
        a["v"] for a in lif([[1]] * 4, LIFReset, reset_interval=2, reset_offset=1)
    ],
    "arrays_are_honoured": lif(
        [[1, 1]], shape=(2,), dv=np.array([0, 4096]), v=np.array([7, 7]), du=np.array([4095, 4095])
    )[0]["v"],
    "mixed_truncation": mode([-3, 3, -256, 255, 254], sign_mode=SignMode.MIXED),
    "mixed_truncation_4_bits": mode([-33, 33], sign_mode=SignMode.MIXED, num_weight_bits=4),
    "excitatory_keeps_odd": mode([255, 3, 0]),
    "inhibitory_keeps_odd": mode([-255, -3, -256]),
    "negative_spike_counts": [
        a["sent"] for a in feed(Dense(weights=np.array([[2]])), [[-5], [7], [0], [0]])
    ],
    "sent_before_received": [
        a["sent"] for a in feed(Dense(weights=np.array([[2]])), [[1], [0], [0]])
    ],
    "right_shift_floors": mode([-3], weight_exp=-1),
    "graded_sum_wraps_at_32_bits": [
        feed(
            kind(weights=wrap(np.full((1, 3), 128)), num_message_bits=24, weight_exp=-8),
            [[(1 << 23) - 1] * 3, [0] * 3],
        )[1]["sent"]
        for kind, wrap in ((Dense, np.array), (Sparse, csr_matrix))
    ],
    "convolution_wraps_at_24_bits": [one_pixel(v) for v in (7, 8, 15, 16, -9)],
    "convolution_ignores_exponent_and_bits": one_pixel(3, weight_exp=4, num_weight_bits=2),
    "convolution_beyond_32_bits": one_pixel((1 << 12) + 1),
    "convolution_stride_127": len(wide_convolution(127)[1]["sent"]),
    "convolution_stride_200": raised(lambda: wide_convolution(200)),
    "delay_63": raised(lambda: delayed(DelayDense, [0, 63])),
    "delay_64": raised(lambda: delayed(DelayDense, [0, 64])),
    "sparse_delay_64": raised(lambda: delayed(DelaySparse, [0, 64], wrap=csr_matrix)),
    "delays_are_shifted_one_by_one": [
        [delayed(kind, d, wrap=wrap) for d in ([0, 0], [0, 1], [2, 1])]
        for kind, wrap in ((DelayDense, np.array), (DelaySparse, csr_matrix))
    ],
}
print(json.dumps(answers))
