"""What a program needs of its device's memory, known before anything is uploaded or compiled.

The figures of a fine-tune are those of the traced programs: the weights in the layout of the device, the adapter and
its optimiser state, and the intermediate results as the device places them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tritloom.backends.base import Device
from tritloom.codegen.errors import OutOfMemoryError
from tritloom.codegen.ir.dtypes import f32
from tritloom.dsl.jit import Planned
from tritloom.models.config import ModelConfig
from tritloom.models.programs import (
    PROGRAMS,
    Sizes,
    abstract_adapters,
    abstract_batch,
    abstract_weights,
    nbytes,
)

_SHORTEST = 16
"""Tokens of the shortest context that is proposed."""
_PROPOSED = 2
"""How many choices that fit a refusal names."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes that a fine-tune needs at its peak, by part."""

    weights: int
    transposed: int
    """The ternary weights once more, packed for the backward products."""
    adapter: int
    optimiser: int
    results: int
    """Intermediate results of a training step."""
    evaluation: int
    """Intermediate results of the held-out loss."""
    batch: int
    reserved: int
    """What the device keeps beside tensors."""

    @property
    def total(self) -> int:
        return self.fixed + self.varying

    @property
    def fixed(self) -> int:
        """What does not depend on batch and context."""
        return self.weights + self.transposed + self.adapter + self.optimiser + self.reserved

    @property
    def varying(self) -> int:
        """What grows with batch and context."""
        return self.results + self.evaluation + self.batch

    def __str__(self) -> str:
        named = [
            (self.weights, "weights"),
            (self.transposed, "the same packed for the backward pass"),
            (self.adapter, "adapter"),
            (self.optimiser, "optimiser state"),
            (self.results, "intermediate results of a step"),
            (self.evaluation, "those of the held-out loss"),
            (self.batch + self.reserved, "copies and the batch"),
        ]
        return _listed(named)


def estimate(
    config: ModelConfig, sizes: Sizes, device: Device, step: Planned | None = None, *, evaluation: bool = True
) -> Estimate:
    """What a fine-tune of those sizes needs on a device. `step` is its training step, if that is planned already."""
    planned = step or PROGRAMS["train"](config, sizes, device)
    held = device.program_bytes(PROGRAMS["evaluate"](config, sizes, device).plan) if evaluation else 0
    adapter = nbytes(abstract_adapters(config, sizes.rank, device, sizes.targets))
    return Estimate(
        weights=nbytes(abstract_weights(config, device)),
        transposed=planned.transposed,
        adapter=adapter,
        optimiser=2 * adapter,
        results=device.program_bytes(planned.plan),
        evaluation=held,
        batch=nbytes(abstract_batch(config, sizes, device)) + planned.results,
        reserved=device.reserved_bytes,
    )


def require_memory(
    config: ModelConfig, sizes: Sizes, device: Device, step: Planned, *, evaluation: bool = True
) -> None:
    """Raise OutOfMemoryError if a fine-tune does not fit the device, and say what would."""
    have = device.memory_bytes
    if have is None:
        return
    without = estimate(config, sizes, device, step, evaluation=False)
    # The loss alone keeps less than the step: where even twice the step fits, it need not be planned.
    if without.total + without.results <= have:
        return
    need = estimate(config, sizes, device, step, evaluation=evaluation)
    if need.total <= have:
        return
    fitting = _fitting(config, sizes, device, need, evaluation)
    if fitting:
        hint = "these fit: " + "; ".join(f"{choice} ({size(bytes_)})" for choice, bytes_ in fitting)
    elif need.fixed > have:
        hint = f"no batch or context fits, since {size(need.fixed)} do not depend on them: take another device or model"
    else:
        hint = "no smaller batch, context or rank fits: take another device or model"
    raise OutOfMemoryError(
        f"{device.name} ({device.description}) has {size(have)} of memory, and fine-tuning with {sizes.batch} x "
        f"{sizes.context} tokens, rank {sizes.rank} and {sizes.precision} needs {size(need.total)}: {need}",
        hint=hint,
    )


def require_room(device: Device, parts: Sequence[tuple[int, str]], doing: str, hint: str) -> None:
    """Raise OutOfMemoryError if a device has less memory than the bytes of all parts, each with what it is."""
    have, need = device.memory_bytes, sum(count for count, _ in parts)
    if have is not None and need > have:
        raise OutOfMemoryError(
            f"{device.name} ({device.description}) has {size(have)} of memory, and {doing} needs at least "
            f"{size(need)}: {_listed(parts)}",
            hint=hint,
        )


def require_memory_to_generate(config: ModelConfig, context: int, device: Device) -> None:
    """Raise OutOfMemoryError if the weights and the cache of `context` tokens do not fit the device."""
    weights = nbytes(abstract_weights(config, device))
    token = 2 * f32.nbytes * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    most = ((device.memory_bytes or 0) - weights - device.reserved_bytes) // token
    require_room(
        device,
        [(weights, "weights"), (context * token, "cache"), (device.reserved_bytes, "copies")],
        f"generating over {context} tokens",
        f"choose a --context below {most}" if most > _SHORTEST else "take another device or model",
    )


def _fitting(
    config: ModelConfig, sizes: Sizes, device: Device, need: Estimate, evaluation: bool
) -> list[tuple[str, int]]:
    """The choices nearest to the wanted sizes that fit, one of a kind, each planned in full: options and bytes."""
    have = device.memory_bytes or 0
    found: list[tuple[str, int]] = []
    for choices in _smaller(sizes):
        for choice in choices:
            share = choice.batch * choice.context / (sizes.batch * sizes.context)
            kept = need.fixed if choice.rank == sizes.rank else need.weights + need.transposed
            if kept + need.varying * share > have:
                continue  # nor would its plan fit
            planned = estimate(config, choice, device, evaluation=evaluation)
            if planned.total <= have:
                found.append((_options(sizes, choice), planned.total))
                break
        if len(found) == _PROPOSED:
            break
    return found


def _smaller(sizes: Sizes) -> Iterator[list[Sizes]]:
    """Kinds of smaller sizes, each from the nearest on."""
    batches = _halves(sizes.batch, 1)
    contexts = _halves(sizes.context, _SHORTEST)
    yield [replace(sizes, batch=batch) for batch in batches]
    yield [replace(sizes, context=context) for context in contexts]
    if sizes.batch > 1:
        yield [replace(sizes, batch=1, context=context) for context in contexts]
    yield [replace(sizes, rank=rank) for rank in _halves(sizes.rank, 1)]
    if sizes.batch > 1 or contexts:
        shortest = replace(sizes, batch=1, context=min(sizes.context, _SHORTEST))
        yield [replace(shortest, rank=rank) for rank in _halves(sizes.rank, 1)]


def _halves(number: int, least: int) -> list[int]:
    found = []
    while number // 2 >= least:
        number //= 2
        found.append(number)
    return found


def _options(wanted: Sizes, choice: Sizes) -> str:
    changed = [
        f"--{name} {getattr(choice, name)}"
        for name in ("batch", "context", "rank")
        if getattr(choice, name) != getattr(wanted, name)
    ]
    return " ".join(changed)


def _listed(parts: Sequence[tuple[int, str]]) -> str:
    return ", ".join(f"{size(count)} {what}" for count, what in parts if count)


def size(count: int) -> str:
    """Bytes for people: "1.5 GiB"."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1000:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
