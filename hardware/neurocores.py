"""How many neurocores a population needs, and what the fullest of them holds of every limited
resource.

An estimate, because the chip's compiler is not public. The rules follow the reports that the
compiler printed into lava-dl's tutorial notebooks (pilotnet_snn/benchmark, oxford/run, mnist/run),
with which the tests compare them:

- Each population has cores of its own; inputs come from outside and take none.
- A core holds all synapses that end in its neurons.
- The target of a convolution is cut into tiles of all channels, all rows, and a number of columns
  that is a power of two; only where one column is too much, into fewer rows, then fewer channels.
  Other populations are divided evenly.
- Dense and sparse synapses take the chip table's bits each, every input axon in whole words of
  synaptic memory. Fewer weight bits are not counted as a saving; delays take their bits more.
- A kernel is stored once in each core, its weights taking ``weight_bits`` each, and its input axons
  are shared. On a chip without convolution synapses every synapse is counted: an upper bound, since
  weights can be shared there in other ways.
- An input axon is a source neuron that reaches the core; an output axon is a neuron's entry for one
  projection (on Loihi 1: for one target core). A projection with several exponents is as many
  projections, as in Lava, whose processes have one each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from hardware.chip import Chip
from hardware.program import (
    Convolution,
    CustomPopulation,
    Dense,
    Population,
    Program,
    Projection,
    Sparse,
)

RESOURCES = ("neurons", "neuron_groups", "input_axons", "output_axons", "synaptic_memory_words")
"""Limited resources of a core; a chip's table has ``RESOURCE_per_core`` for each."""


@dataclass(frozen=True)
class Use:
    """Of one resource: what the fullest core uses, and the most it has."""

    used: int
    maximum: int

    @property
    def percent(self) -> float:
        """Share used, 0 to 100; more where it does not fit."""
        return 100.0 * self.used / self.maximum


@dataclass(frozen=True)
class LayerPlacement:
    """One population on its cores; ``uses``: resource → use of the fullest core."""

    population: str
    neurons: int
    cores: int
    uses: Mapping[str, Use]

    @property
    def binding(self) -> str:
        """The resource that is used most."""
        return max(self.uses, key=lambda name: self.uses[name].percent)

    @property
    def fits(self) -> bool:
        """No resource is used beyond its maximum."""
        return all(use.used <= use.maximum for use in self.uses.values())


class _Division:
    """Neurons of a population divided among cores, in tiles of (channels, *spatial); tiles may
    stand over the edge."""

    def __init__(self, shape: tuple[int, ...], tile: tuple[int, ...]) -> None:
        self.shape, self.tile = shape, tile
        self.neurons = int(np.prod(tile))
        self.tiles = tuple(math.ceil(n / t) for n, t in zip(shape, tile))
        self.cores = int(np.prod(self.tiles))

    def core_of(self) -> np.ndarray:
        """Core of every neuron, int64 [neuron]."""
        places = [
            place // tile
            for place, tile in zip(np.indices(self.shape).reshape(len(self.shape), -1), self.tile)
        ]
        return np.ravel_multi_index(places, self.tiles)


def _even(population: Population | CustomPopulation, cores: int) -> _Division:
    return _Division((population.size,), (math.ceil(population.size / cores),))


def _tiles(shape: tuple[int, ...]) -> Iterator[_Division]:
    """Divisions of a convolution's target, coarse to fine: columns, then rows, then channels are
    halved."""
    tile = [*shape[:-1], 1 << (shape[-1] - 1).bit_length()]
    yield _Division(shape, tuple(tile))
    for axis in (*range(len(shape) - 1, 0, -1), 0):
        while tile[axis] > 1:
            tile[axis] = 1 << ((tile[axis] - 1).bit_length() - 1)
            yield _Division(shape, tuple(tile))


def _formats(projection: Projection) -> int:
    """Number of different exponents."""
    return len(np.unique(projection.exponent))


def _into(
    projection: Projection, source: tuple[int, ...], division: _Division, chip: Chip
) -> tuple[int, int]:
    """Input axons and words of synaptic memory that one projection takes in the fullest core."""
    word = chip["synaptic_memory_word_bits"]
    late = chip["delay_bits_per_synapse"] if projection.max_delay else 0

    if isinstance(projection, Dense):
        axons = int(np.prod(source))
        words = axons * math.ceil(division.neurons * (chip["dense_bits_per_synapse"] + late) / word)
    elif isinstance(projection, Sparse):
        core = division.core_of()[projection.rows].astype(np.int64)
        pairs, synapses = np.unique(
            core * int(np.prod(source)) + projection.columns, return_counts=True
        )
        cores = pairs // int(np.prod(source))
        axons = int(np.bincount(cores, minlength=1).max())
        words = int(
            np.bincount(
                cores,
                np.ceil(synapses * (chip["sparse_bits_per_synapse"] + late) / word),
                minlength=1,
            ).max()
        )
    elif not isinstance(projection, Convolution):
        raise TypeError(f"a projection of type {type(projection).__name__}")
    elif chip["convolution_synapse"]:
        axons = chip["input_axons_of_convolution"]
        words = math.ceil(
            projection.weights[0].size * division.tile[0] * projection.weight_bits / word
        )
    else:
        axons, fan_out = source[0], division.tile[0] / projection.groups
        for n, out, k, s, d in zip(
            source[1:],
            division.tile[1:],
            projection.kernel_size,
            projection.stride,
            projection.dilation,
        ):
            axons *= min(n, (out - 1) * s + d * (k - 1) + 1)
            fan_out *= min(out, math.ceil(k / s))
        words = axons * math.ceil(
            math.ceil(fan_out) * (chip["sparse_bits_per_synapse"] + late) / word
        )

    return axons * _formats(projection), words


def _reached(projection: Projection, division: _Division, target: _Division) -> int:
    """Pairs of a neuron in the fullest core and a target core that it reaches."""
    if isinstance(projection, Dense):
        return division.neurons * target.cores
    if isinstance(projection, Sparse):
        cores = target.core_of()[projection.rows].astype(np.int64)
        pairs = (
            np.unique(projection.columns.astype(np.int64) * target.cores + cores) // target.cores
        )
        return int(np.bincount(division.core_of()[pairs], minlength=1).max())
    if not isinstance(projection, Convolution):
        raise TypeError(f"a projection of type {type(projection).__name__}")

    boxes = target.tiles[0]
    for tile, tiles, k, s, d in zip(
        target.tile[1:],
        target.tiles[1:],
        projection.kernel_size,
        projection.stride,
        projection.dilation,
    ):
        boxes *= min(tiles, d * (k - 1) // s // tile + 2)
    return division.neurons * boxes


def neuron_groups(population: Population | CustomPopulation) -> int:
    """Different settings of current decay, voltage decay and threshold among the neurons; of a kind
    of one's own, of all its parameters."""
    if isinstance(population, CustomPopulation):
        parameters = list(population.parameters.values()) or [np.zeros((), np.int32)]
    else:
        threshold = np.zeros((), np.int32) if population.threshold is None else population.threshold
        parameters = [population.current_decay, population.voltage_decay, threshold]
    settings = [np.broadcast_to(p, population.shape).ravel() for p in parameters]
    return int(np.unique(np.stack(settings), axis=1).shape[1])


def _uses(
    program: Program, name: str, division: _Division, placed: Mapping[str, _Division], chip: Chip
) -> dict[str, int]:
    """Resource → what the fullest core uses; ``placed`` has the division of every target of this
    population."""
    uses = dict.fromkeys(RESOURCES, 0)
    uses["neurons"] = division.neurons
    for projection in program.into(name):
        axons, words = _into(projection, program.nodes[projection.source].shape, division, chip)
        uses["input_axons"] += axons
        uses["synaptic_memory_words"] += words
    for projection in program.out_of(name):
        if chip["output_axon_per_target_core"]:
            target = division if projection.recurrent else placed[projection.target]
            uses["output_axons"] += _reached(projection, division, target) * _formats(projection)
        else:
            uses["output_axons"] += division.neurons * _formats(projection)
    return uses


def _fewest(
    population: Population | CustomPopulation, tiled: bool, fits: Callable[[_Division], bool]
) -> _Division:
    """The coarsest division that fits; the finest where none does."""
    if tiled:
        for division in _tiles(population.shape):
            if fits(division):
                break
        return division
    low, high = 1, population.size
    while low < high:  # more cores never hold more in the fullest
        middle = (low + high) // 2
        low, high = (low, middle) if fits(_even(population, middle)) else (middle + 1, high)
    return _even(population, low)


def place(program: Program, chip: Chip) -> tuple[LayerPlacement, ...]:
    """Every population on the fewest cores that hold it, in the Program's order.

    Where no division helps (one neuron alone needs more than a core has), the population is divided
    as the other resources demand, and ``fits`` is False.
    """
    divisions: dict[str, _Division] = {}
    layers: dict[str, LayerPlacement] = {}
    maxima = {name: chip[f"{name}_per_core"] for name in RESOURCES}
    for name in reversed(
        program.order
    ):  # targets first, because output axons may depend on the target's cores
        population = program.population(name)
        groups = {"neuron_groups": neuron_groups(population)}
        tiled = any(isinstance(p, Convolution) for p in program.into(name))
        finest = (
            _Division(population.shape, (1,) * len(population.shape))
            if tiled
            else _even(population, population.size)
        )
        alone = _uses(program, name, finest, divisions, chip) | groups
        divisible = [resource for resource in RESOURCES if alone[resource] <= maxima[resource]]

        def fits(
            division: _Division,
            name: str = name,
            groups: dict[str, int] = groups,
            divisible: list[str] = divisible,
        ) -> bool:
            uses = _uses(program, name, division, divisions, chip) | groups
            return all(uses[resource] <= maxima[resource] for resource in divisible)

        divisions[name] = _fewest(population, tiled, fits)
        uses = _uses(program, name, divisions[name], divisions, chip) | groups
        used = MappingProxyType(
            {resource: Use(uses[resource], maxima[resource]) for resource in RESOURCES}
        )
        layers[name] = LayerPlacement(name, population.size, divisions[name].cores, used)
    return tuple(layers[name] for name in program.order)
