"""A BitNet model on a device: logits, losses, and the gradients of its LoRA adapter.

model = load_model(folder, device="cpu")
model.logits(ids)                         # float32 [batch, tokens, vocab]
model.load_adapter(folder)
loss, gradients = model.loss_and_grads(ids, labels)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tritloom.backends.base import Device
from tritloom.backends.registry import device as find_device
from tritloom.codegen.errors import BoundsError, DeviceError, DTypeError, ShapeError
from tritloom.codegen.ir.ternary import TernaryArray
from tritloom.dsl.grad import value_and_grad
from tritloom.dsl.jit import jit
from tritloom.dsl.tensor import Tensor, array
from tritloom.models.adapter import Adapter, adapter_keys, check_fits, load_adapter, module_path
from tritloom.models.bitnet import Adapters, Graph, Weights, rotation_tables, shifted_labels
from tritloom.models.checkpoint import Checkpoint, load_checkpoint
from tritloom.models.config import PROJECTIONS, ModelConfig
from tritloom.models.errors import AdapterError

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]


class Model:
    """A frozen base model on one device, with or without an adapter. Made by :func:`load_model`."""

    def __init__(self, checkpoint: Checkpoint, device: Device, precision: str = "f32"):
        self.config = checkpoint.config
        self.device = device
        self.precision = precision
        self.weights = upload_weights(checkpoint, device)
        self.adapter: Adapter | None = None
        self.adapters: Adapters | None = None
        self._compile()

    @property
    def graph(self) -> Graph:
        """The graph for the adapter in place."""
        scaling = (
            {}
            if self.adapter is None
            else {path: self.adapter.scaling(path) for path in self.adapter.modules()}
        )
        return Graph(self.config, scaling, self.precision)

    def _compile(self) -> None:
        graph = self.graph

        def logits(
            weights: Weights, adapters: Adapters | None, ids: Tensor, rotation: tuple[Tensor, Tensor]
        ) -> Tensor:
            hidden, _ = graph.hidden(weights, adapters, ids, rotation)
            return graph.logits(weights, hidden)

        def loss(
            adapters: Adapters | None,
            weights: Weights,
            ids: Tensor,
            labels: Tensor,
            rotation: tuple[Tensor, Tensor],
        ) -> Tensor:
            return graph.loss(weights, adapters, ids, labels, rotation)

        self._logits = jit(logits)
        self._loss = jit(loss)
        self._loss_and_grads = jit(value_and_grad(loss))

    def load_adapter(self, folder: str | Path) -> None:
        """Put the PEFT adapter of a folder in place. Raises AdapterError if it does not fit this model."""
        self.set_adapter(load_adapter(folder, self.config))

    def set_adapter(self, adapter: Adapter) -> None:
        """Put an adapter in place of the present one. Raises AdapterError if it does not fit this model."""
        check_fits(adapter, self.config)
        self.adapter = adapter
        self.adapters = upload_adapter(adapter, self.config, self.device)
        self._compile()

    def current_adapter(self) -> Adapter:
        """The adapter with the values that it has on the device now. Raises AdapterError if there is none."""
        adapter, tensors = self._need_adapter()
        for key, value in adapter_arrays(tensors).items():
            adapter.tensors[key] = value
        return adapter

    def _need_adapter(self) -> tuple[Adapter, Adapters]:
        if self.adapter is None or self.adapters is None:
            raise AdapterError("the model has no adapter", hint="call load_adapter or set_adapter first")
        return self.adapter, self.adapters

    def rotation(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """The rotary tables of a range of positions, on the device."""
        cosines, sines = rotation_tables(self.config, start, count)
        return array(cosines, device=self.device), array(sines, device=self.device)

    def check_ids(self, ids: ArrayLike) -> IntArray:
        """Token ids as int32 [batch, tokens]. Raises ShapeError, or BoundsError for an id outside of the vocabulary."""
        checked = _rectangular(ids, "token ids")
        if checked.ndim != 2 or checked.size == 0 or not np.issubdtype(checked.dtype, np.integer):
            raise ShapeError(
                f"token ids are {checked.dtype} {list(checked.shape)}, expected integers [batch, tokens]",
                hint="for one sequence pass [ids]",
            )
        outside = np.argwhere((checked < 0) | (checked >= self.config.vocab_size))
        if len(outside):
            where = tuple(int(i) for i in outside[0])
            raise BoundsError(
                f"token id {checked[where]} at {where} is outside of the vocabulary of {self.config.vocab_size}",
                hint="the tokeniser belongs to another model",
            )
        return checked.astype(np.int32)

    def logits(self, ids: ArrayLike) -> FloatArray:
        """Logits float32 [batch, tokens, vocab] of integer ids [batch, tokens]."""
        checked = self.check_ids(ids)
        batch, tokens = checked.shape
        out = self._logits(
            self.weights, self.adapters, array(checked, device=self.device), self.rotation(0, tokens)
        )
        return np.asarray(out.numpy(), np.float32).reshape(batch, tokens, self.config.vocab_size)

    def batch(self, ids: ArrayLike, labels: ArrayLike) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """The device tensors of a checked batch: ids, shifted labels, rotary tables. See :meth:`loss_and_grads`."""
        checked = self.check_ids(ids)
        wanted = _rectangular(labels, "labels")
        if wanted.shape != checked.shape or not np.issubdtype(wanted.dtype, np.integer):
            raise ShapeError(
                f"labels are {wanted.dtype} {list(wanted.shape)}, expected integers {list(checked.shape)} as the ids"
            )
        bad = np.argwhere((wanted != -100) & ((wanted < 0) | (wanted >= self.config.vocab_size)))
        if len(bad):
            where = tuple(int(i) for i in bad[0])
            raise BoundsError(
                f"label {wanted[where]} at {where} is outside of the vocabulary of {self.config.vocab_size}",
                hint="use -100 for tokens that have no loss",
            )
        flat = shifted_labels(wanted.astype(np.int32))
        return (
            array(checked, device=self.device),
            array(flat, device=self.device),
            self.rotation(0, checked.shape[1]),
        )

    def loss(self, ids: ArrayLike, labels: ArrayLike) -> float:
        """The mean cross-entropy, in nats a token, of the tokens whose label is not -100; 0 where there is none."""
        return float(self._loss(self.adapters, self.weights, *self.batch(ids, labels)).numpy())

    def loss_and_grads(self, ids: ArrayLike, labels: ArrayLike) -> tuple[float, dict[str, FloatArray]]:
        """The loss and its gradient with respect to each adapter tensor, by PEFT key.

        `labels` [batch, tokens] are aligned with the ids (token t is predicted from the tokens before it); -100 means
        no loss. Raises AdapterError if no adapter is in place.
        """
        _, adapters = self._need_adapter()
        loss, gradients = self._loss_and_grads(adapters, self.weights, *self.batch(ids, labels))
        return float(loss.numpy()), adapter_arrays(gradients)


def load_model(folder: str | Path, device: str | Device | None = None, precision: str = "f32") -> Model:
    """The BitNet model of a folder (config.json and safetensors, packed or master weights) on a device.

    `precision` is that of operands in the backward products with ternary weights and in the loss: "f32", or "bf16"
    where speed matters more. Raises ConfigError, CheckpointError, DeviceError, DTypeError.
    """
    if precision not in ("f32", "bf16"):
        raise DTypeError(f"precision is {precision!r}", hint="choose f32 or bf16")
    if device is not None and not isinstance(device, str | Device):
        raise DeviceError(f"the device is {device!r}, not a name", hint="`tritloom devices` lists the names")
    found = device if isinstance(device, Device) else find_device(device)
    return Model(load_checkpoint(folder), found, precision)


def _rectangular(values: ArrayLike, what: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError:
        raise ShapeError(
            f"{what} have rows of different lengths, expected integers [batch, tokens]",
            hint="fill up the shorter rows, and label what fills them -100",
        ) from None


def upload_weights(checkpoint: Checkpoint, device: Device) -> Weights:
    """The frozen weights of a checkpoint on a device, as the tree that :mod:`tritloom.models.bitnet` documents."""
    config = checkpoint.config

    def floats(key: str) -> Tensor:
        return array(np.asarray(checkpoint.array(key), np.float32), device=device)

    def projection(key: str) -> dict[str, Tensor]:
        weight = checkpoint.ternary(key)
        scale = np.array([weight.scale], np.float32)
        return {
            "weight": array(TernaryArray.pack(weight.codes()), device=device),
            "scale": array(scale, device=device),
        }

    norms = ["attn_norm", "ffn_norm"] + (["attn_sub_norm", "ffn_sub_norm"] if config.sub_norms else [])
    layers: list[dict[str, Any]] = []
    for number in range(config.num_hidden_layers):
        layer: dict[str, Any] = {name: floats(f"layers.{number}.{name}") for name in norms}
        layer |= {name: projection(f"layers.{number}.{name}") for name in PROJECTIONS}
        layers.append(layer)
    weights: Weights = {"embed": floats("embed"), "final_norm": floats("final_norm"), "layers": layers}
    if not config.tie_word_embeddings:
        weights["head"] = floats("lm_head")
    return weights


def upload_adapter(adapter: Adapter, config: ModelConfig, device: Device) -> Adapters:
    """An adapter's tensors on a device, one dict a layer."""
    adapted = set(adapter.modules())
    layers: Adapters = []
    for number in range(config.num_hidden_layers):
        layer = {}
        for name in PROJECTIONS:
            path = module_path(number, name)
            if path in adapted:
                key_a, key_b = adapter_keys(path)
                layer[name] = {
                    "A": array(adapter.tensors[key_a], device=device),
                    "B": array(adapter.tensors[key_b], device=device),
                }
        layers.append(layer)
    return layers


def adapter_arrays(adapters: Adapters) -> dict[str, FloatArray]:
    """A tree of an adapter's shape on a device -> {PEFT key: float32 array}."""
    arrays: dict[str, FloatArray] = {}
    for number, layer in enumerate(adapters):
        for name, pair in layer.items():
            key_a, key_b = adapter_keys(module_path(number, name))
            arrays[key_a] = np.asarray(pair["A"].numpy(), np.float32)
            arrays[key_b] = np.asarray(pair["B"].numpy(), np.float32)
    return arrays
