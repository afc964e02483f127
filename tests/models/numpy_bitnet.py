"""BitNet in plain NumPy, float64, with gradients of LoRA written by hand: what the models are compared with.

It shares no code with the package: it reads config.json, safetensors and PEFT adapters itself and follows the published
formulas. A weight is s * clamp(round(W / s), -1, 1) with s = mean|W|; an activation row is round(127 x / max|x|) times
max|x| / 127; both rounds pass gradients as they are (straight-through); a LoRA branch sees the row before rounding.

Quantised activations make a model discontinuous: where 127 x / max|x| is half a whole number, any change in the order
of a sum can move the row by a whole step. `Forward.margin` says how close a run came to that.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

Array = npt.NDArray[np.float64]
IGNORED = -100
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_SUB_NORMS = {"attn": ("attn_sub_norm", "inner_attn_ln"), "ffn": ("ffn_sub_norm", "ffn_layernorm")}


@dataclass
class Linear:
    """y = quantised(x) @ codes.T * scale + scaling * x @ A.T @ B.T, and what its backward pass needs."""

    codes: Array
    scale: float
    a: Array | None = None
    b: Array | None = None
    scaling: float = 0.0
    x: Array = field(default_factory=lambda: np.zeros(0))
    gradients: dict[str, Array] = field(default_factory=dict)

    def forward(self, x: Array) -> tuple[Array, float]:
        """y, and the least distance of a value from the middle between two whole numbers."""
        self.x = x
        steps = 127 / np.maximum(np.abs(x).max(-1, keepdims=True), 1e-5)
        y = np.clip(np.rint(x * steps), -128, 127) / steps @ self.codes.T * self.scale
        if self.a is not None and self.b is not None:
            y = y + self.scaling * (x @ self.a.T @ self.b.T)
        return y, float(np.abs(np.mod(x * steps, 1) - 0.5).min())

    def backward(self, dy: Array) -> Array:
        """dx; the gradients of A and B are kept."""
        dx: Array = dy @ self.codes * self.scale
        if self.a is not None and self.b is not None:
            inner = self.scaling * (dy @ self.b)
            rows = (0, 1)
            self.gradients = {
                "A": np.tensordot(inner, self.x, (rows, rows)),
                "B": self.scaling * np.tensordot(dy, self.x @ self.a.T, (rows, rows)),
            }
            dx = dx + inner @ self.a
        return dx


@dataclass
class Norm:
    """y = gain * x / sqrt(mean(x^2) + eps)."""

    gain: Array
    eps: float
    unit: Array = field(default_factory=lambda: np.zeros(0))
    inverse: Array = field(default_factory=lambda: np.zeros(0))

    def forward(self, x: Array) -> Array:
        self.inverse = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        self.unit = x * self.inverse
        return self.unit * self.gain

    def backward(self, dy: Array) -> Array:
        d = dy * self.gain
        dx: Array = self.inverse * (d - self.unit * (d * self.unit).mean(-1, keepdims=True))
        return dx


@dataclass(frozen=True)
class Forward:
    """Logits [batch, tokens, vocab], and the least distance, in quantisation steps, of an activation from a tie."""

    logits: Array
    margin: float


class NumpyBitnet:
    """The model of a folder, with the PEFT adapter of another folder or none."""

    def __init__(self, folder: Path, adapter: Path | None = None):
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        stored = load_file(folder / "model.safetensors")
        self._stored = {name: np.asarray(value) for name, value in stored.items()}
        self._adapter = None if adapter is None else json.loads((adapter / "adapter_config.json").read_text())
        self._lora = {} if adapter is None else load_file(adapter / "adapter_model.safetensors")
        rope = self.config.get("rope_parameters") or {}
        self.theta = float(rope.get("rope_theta") or self.config["rope_theta"])
        self.heads, self.kv = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        self.head_dim = self.config.get("head_dim") or self.config["hidden_size"] // self.heads
        self.squared_relu = self.config["hidden_act"] == "relu2"
        self.embed = self._floats("model.embed_tokens.weight")
        self.head = self.embed if self.config["tie_word_embeddings"] else self._floats("lm_head.weight")
        self.layers = [self._layer(f"model.layers.{i}.") for i in range(self.config["num_hidden_layers"])]
        self.final = Norm(self._floats("model.norm.weight"), self.config["rms_norm_eps"])

    def _floats(self, name: str) -> Array:
        return self._stored[name].astype(np.float64)

    def _norm(self, *names: str) -> Norm | None:
        found = [name for name in names if name in self._stored]
        return Norm(self._floats(found[0]), self.config["rms_norm_eps"]) if found else None

    def _layer(self, prefix: str) -> dict[str, Any]:
        layer: dict[str, Any] = {"attn_norm": self._norm(prefix + "input_layernorm.weight")}
        layer["ffn_norm"] = self._norm(prefix + "post_attention_layernorm.weight")
        for part, block in (("attn", "self_attn"), ("ffn", "mlp")):
            layer[f"{part}_sub_norm"] = self._norm(*(f"{prefix}{block}.{n}.weight" for n in _SUB_NORMS[part]))
        for name in (*_ATTENTION, "gate_proj", "up_proj", "down_proj"):
            path = f"{prefix}{'self_attn' if name in _ATTENTION else 'mlp'}.{name}"
            layer[name] = self._linear(name, path)
        return layer

    def _linear(self, name: str, path: str) -> Linear:
        stored = self._stored[f"{path}.weight"]
        if f"{path}.weight_scale" in self._stored:
            scale = float(self._stored[f"{path}.weight_scale"].reshape(()))
            divides = self.config["quantization_config"].get("linear_class", "bitlinear") == "bitlinear"
            linear = Linear(self._codes(name, stored), 1 / scale if divides else scale)
        else:
            scale = max(float(np.abs(stored.astype(np.float64)).mean()), 1e-5)
            linear = Linear(np.clip(np.rint(stored.astype(np.float64) / scale), -1, 1), scale)
        if (key := f"base_model.model.{path}.lora_A.weight") in self._lora and self._adapter is not None:
            linear.a = self._lora[key].astype(np.float64)
            linear.b = self._lora[key.replace("lora_A", "lora_B")].astype(np.float64)
            alpha = self._adapter["alpha_pattern"].get(name, self._adapter["lora_alpha"])
            rank = len(linear.a)
            linear.scaling = alpha / (math.sqrt(rank) if self._adapter["use_rslora"] else rank)
        return linear

    def _codes(self, name: str, stored: npt.NDArray[Any]) -> Array:
        if stored.dtype != np.uint8:
            return stored.astype(np.float64)
        sizes = {"q_proj": self.heads * self.head_dim, "k_proj": self.kv * self.head_dim}
        sizes |= {"v_proj": sizes["k_proj"], "o_proj": self.config["hidden_size"]}
        sizes |= {"down_proj": self.config["hidden_size"]}
        rows = np.concatenate([(stored >> shift) & 3 for shift in (0, 2, 4, 6)])
        return rows[: sizes.get(name, self.config["intermediate_size"])].astype(np.float64) - 1

    def forward(self, ids: npt.NDArray[Any]) -> Forward:
        """Run ids [batch, tokens]."""
        batch, tokens = ids.shape
        self._turns = self._rotation(tokens)
        self._kept: list[dict[str, Array]] = []
        x = self.embed[ids]
        margins = []

        def linear(one: Linear, value: Array) -> Array:
            y, margin = one.forward(value)
            margins.append(margin)
            return y

        for layer in self.layers:
            kept: dict[str, Array] = {}
            h = layer["attn_norm"].forward(x)
            q, k, v = (
                linear(layer[name], h).reshape(batch, tokens, count, self.head_dim).swapaxes(1, 2)
                for name, count in (("q_proj", self.heads), ("k_proj", self.kv), ("v_proj", self.kv))
            )
            group = self.heads // self.kv
            kept["q"] = self._turn(q, 1)
            kept["k"], kept["v"] = np.repeat(self._turn(k, 1), group, 1), np.repeat(v, group, 1)
            scores = kept["q"] @ kept["k"].swapaxes(-1, -2) / math.sqrt(self.head_dim)
            scores = np.where(np.tril(np.ones((tokens, tokens), bool)), scores, -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            kept["p"] = weights / weights.sum(-1, keepdims=True)
            attended = (kept["p"] @ kept["v"]).swapaxes(1, 2).reshape(batch, tokens, -1)
            if layer["attn_sub_norm"]:
                attended = layer["attn_sub_norm"].forward(attended)
            x = x + linear(layer["o_proj"], attended)
            h = layer["ffn_norm"].forward(x)
            kept["gate"], kept["up"] = linear(layer["gate_proj"], h), linear(layer["up_proj"], h)
            active = self._activation(kept["gate"])[0] * kept["up"]
            if layer["ffn_sub_norm"]:
                active = layer["ffn_sub_norm"].forward(active)
            x = x + linear(layer["down_proj"], active)
            self._kept.append(kept)
        return Forward(self.final.forward(x) @ self.head.T, min(margins))

    def loss_and_grads(
        self, ids: npt.NDArray[Any], labels: npt.NDArray[Any]
    ) -> tuple[float, dict[str, Array]]:
        """The mean loss of the tokens t >= 1 whose label is not -100, and {PEFT key: gradient}."""
        logits = self.forward(ids).logits
        batch, tokens = ids.shape
        spread = np.exp(logits - logits.max(-1, keepdims=True))
        spread /= spread.sum(-1, keepdims=True)
        target = np.full(labels.shape, IGNORED)
        target[:, :-1] = labels[:, 1:]
        counted = np.argwhere(target != IGNORED)
        where = (counted[:, 0], counted[:, 1])
        loss = float(-np.log(spread[(*where, target[where])]).mean())
        d = np.zeros_like(logits)
        d[where] = spread[where]
        d[(*where, target[where])] -= 1
        dx = self.final.backward(d / len(counted) @ self.head)
        for layer, kept in zip(reversed(self.layers), reversed(self._kept), strict=True):
            d = layer["down_proj"].backward(dx)
            if layer["ffn_sub_norm"]:
                d = layer["ffn_sub_norm"].backward(d)
            value, slope = self._activation(kept["gate"])
            d = layer["gate_proj"].backward(d * kept["up"] * slope) + layer["up_proj"].backward(d * value)
            dx = dx + layer["ffn_norm"].backward(d)
            d = layer["o_proj"].backward(dx)
            if layer["attn_sub_norm"]:
                d = layer["attn_sub_norm"].backward(d)
            d = d.reshape(batch, tokens, self.heads, self.head_dim).swapaxes(1, 2)
            dp = d @ kept["v"].swapaxes(-1, -2)
            ds = kept["p"] * (dp - (dp * kept["p"]).sum(-1, keepdims=True)) / math.sqrt(self.head_dim)
            groups = (batch, self.kv, -1, tokens, self.head_dim)
            dk = (ds.swapaxes(-1, -2) @ kept["q"]).reshape(groups).sum(2)
            dv = (kept["p"].swapaxes(-1, -2) @ d).reshape(groups).sum(2)
            parts = {"q_proj": self._turn(ds @ kept["k"], -1), "k_proj": self._turn(dk, -1), "v_proj": dv}
            d = sum(
                layer[name].backward(part.swapaxes(1, 2).reshape(batch, tokens, -1))
                for name, part in parts.items()
            )
            dx = dx + layer["attn_norm"].backward(d)
        return loss, self._gradients()

    def _gradients(self) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for number, layer in enumerate(self.layers):
            for name, linear in layer.items():
                if isinstance(linear, Linear) and linear.a is not None:
                    block = "self_attn" if name in _ATTENTION else "mlp"
                    path = f"base_model.model.model.layers.{number}.{block}.{name}"
                    found |= {f"{path}.lora_{which}.weight": g for which, g in linear.gradients.items()}
        return found

    def _activation(self, gate: Array) -> tuple[Array, Array]:
        """The activation and its slope."""
        if self.squared_relu:
            positive = np.maximum(gate, 0)
            return positive**2, 2 * positive
        sigmoid = 1 / (1 + np.exp(-gate))
        return gate * sigmoid, sigmoid * (1 + gate * (1 - sigmoid))

    def _rotation(self, tokens: int) -> tuple[Array, Array]:
        half = self.head_dim // 2
        angles = np.outer(np.arange(tokens), self.theta ** (-np.arange(half) / half))
        return np.cos(angles), np.sin(angles)

    def _turn(self, x: Array, direction: int) -> Array:
        """Rotate the pairs (x[i], x[i + head_dim / 2]) of [..., tokens, head_dim]; -1 rotates back."""
        cosine, sine = self._turns
        left, right = np.split(x, 2, axis=-1)
        sine = direction * sine
        return np.concatenate([left * cosine - right * sine, right * cosine + left * sine], axis=-1)
