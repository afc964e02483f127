"""LoRA adapters in PEFT's format: adapter_config.json and adapter_model.safetensors.

Keys are PEFT's: `base_model.model.model.layers.{i}.self_attn.q_proj.lora_A.weight` [r, in] and `...lora_B.weight`
[out, r]; y = base(x) + B(A(x)) * scaling. What plain LoRA on the seven projections cannot express (DoRA, biases,
trained embeddings, ...) is an AdapterError, never dropped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from tritloom.models.config import PROJECTIONS, ModelConfig
from tritloom.models.errors import AdapterError, describe
from tritloom.models.files import Content, locate, save_files
from tritloom.models.jsonfile import read_object
from tritloom.models.tensorfile import is_finite, read_tensors, shown, tensor_writer

ADAPTER_CONFIG_NAME = "adapter_config.json"
ADAPTER_WEIGHTS_NAME = "adapter_model.safetensors"
SHIPPED_NAME = "tritloom-shipped"
"""What an adapter's config calls the model that the package carries: the same on every machine."""
_MAX_RANK = 1 << 16
_PREFIX = "base_model.model."
_Value = TypeVar("_Value", int, float)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.]+")
_LAYER = re.compile(r"\.layers\.(\d{1,9})\.")

# The fields that PEFT writes, in its order, with the values of a plain LoRA adapter.
_PLAIN_FIELDS: dict[str, Any] = {
    "alora_invocation_tokens": None,
    "alpha_pattern": {},
    "arrow_config": None,
    "auto_mapping": None,
    "base_model_name_or_path": None,
    "bias": "none",
    "corda_config": None,
    "ensure_weight_tying": False,
    "eva_config": None,
    "exclude_modules": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "kasa_config": None,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_alpha": 8,
    "lora_bias": False,
    "lora_dropout": 0.0,
    "lora_ga_config": None,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "monteclora_config": None,
    "peft_type": "LORA",
    "peft_version": "0.21.2",
    "qalora_group_size": 16,
    "r": 8,
    "rank_pattern": {},
    "revision": None,
    "target_modules": None,
    "target_parameters": None,
    "task_type": "CAUSAL_LM",
    "trainable_token_indices": None,
    "use_bdlora": None,
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
    "velora_config": None,
}
# Fields that say how an adapter was made, not what it computes; any value is read.
_DESCRIPTIVE = {
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "layers_pattern",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
}
_INTERPRETED = {
    "alpha_pattern",
    "exclude_modules",
    "init_lora_weights",
    "layers_to_transform",
    "lora_alpha",
    "peft_type",
    "r",
    "rank_pattern",
    "target_modules",
    "use_rslora",
}


# Starting values that leave the base model's weights as they are; the others (pissa, olora, ...) change them.
_PURE_INITS = (True, False, None, "gaussian", "orthogonal", "eva")


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """A LoRA adapter. `tensors` maps PEFT keys to float32 A [rank, in] and B [out, rank].

    `rank_pattern` and `alpha_pattern` give other values to modules whose path ends in their key (`q_proj`,
    `layers.0.self_attn.q_proj`). `alpha` may be any number; a module's output is scaled by :meth:`scaling`.
    """

    r: int
    alpha: float
    target_modules: tuple[str, ...]
    tensors: dict[str, npt.NDArray[np.float32]]
    use_rslora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    layers_to_transform: tuple[int, ...] | None = None
    dropout: float = 0.0

    def rank(self, module: str) -> int:
        """The rank at a module path such as `model.layers.0.self_attn.q_proj`."""
        return _by_suffix(self.rank_pattern, module, self.r)

    def scaling(self, module: str) -> float:
        """What multiplies B(A(x)) at a module path: alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA."""
        alpha = _by_suffix(self.alpha_pattern, module, self.alpha)
        rank = self.rank(module)
        return alpha / math.sqrt(rank) if self.use_rslora else alpha / rank

    def modules(self) -> tuple[str, ...]:
        """The module paths that the adapter changes, in the order of its tensors."""
        suffix = ".lora_A.weight"
        return tuple(key[len(_PREFIX) : -len(suffix)] for key in self.tensors if key.endswith(suffix))


def module_path(layer: int, projection: str) -> str:
    """The path of a projection in PEFT's and transformers' naming: `model.layers.{i}.self_attn.q_proj`."""
    return f"model.layers.{layer}.{'self_attn' if projection in PROJECTIONS[:4] else 'mlp'}.{projection}"


def adapter_keys(module: str) -> tuple[str, str]:
    """The PEFT keys of A and B at a module path."""
    return f"{_PREFIX}{module}.lora_A.weight", f"{_PREFIX}{module}.lora_B.weight"


def new_adapter(
    config: ModelConfig,
    r: int,
    alpha: float,
    target_modules: tuple[str, ...] = PROJECTIONS,
    *,
    seed: int = 0,
    use_rslora: bool = False,
) -> Adapter:
    """An untrained adapter that changes nothing: B is zero, A uniform in +-1/sqrt(in) as PEFT starts it."""
    if not _is_rank(r):
        raise AdapterError(
            f"the adapter's rank r is {describe(r)}; it must be a whole number from 1 to {_MAX_RANK}"
        )
    if not _is_number(alpha):
        raise AdapterError(f"the adapter's alpha is {describe(alpha)}; it must be a number")
    if seed < 0:
        raise AdapterError(f"the adapter's seed is {seed}; it must be 0 or more")
    unknown = [name for name in target_modules if name not in PROJECTIONS]
    if unknown or not target_modules:
        raise AdapterError(
            f"target_modules is {', '.join(target_modules) or 'empty'}; choose from {', '.join(PROJECTIONS)}"
        )
    random = np.random.default_rng(seed)
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    chosen = tuple(name for name in PROJECTIONS if name in target_modules)
    for layer in range(config.num_hidden_layers):
        for projection in chosen:
            out, width = config.projection_shape(projection)
            key_a, key_b = adapter_keys(module_path(layer, projection))
            bound = 1 / math.sqrt(width)
            tensors[key_a] = random.uniform(-bound, bound, (r, width)).astype(np.float32)
            tensors[key_b] = np.zeros((out, r), np.float32)
    return Adapter(r, alpha, chosen, tensors, use_rslora=use_rslora)


def check_fits(adapter: Adapter, config: ModelConfig) -> None:
    """Raise AdapterError unless every tensor belongs to a projection of the base model and has its shape."""
    fitting: dict[str, tuple[int, ...]] = {}
    for layer in range(config.num_hidden_layers):
        for projection in PROJECTIONS:
            module = module_path(layer, projection)
            out, width = config.projection_shape(projection)
            key_a, key_b = adapter_keys(module)
            fitting |= {key_a: (adapter.rank(module), width), key_b: (out, adapter.rank(module))}
    for key, tensor in adapter.tensors.items():
        if tensor.shape != fitting.get(key):
            expected = list(fitting[key]) if key in fitting else "no such tensor"
            raise AdapterError(
                f"tensor {key} of the adapter has shape {list(tensor.shape)}, the base model expects {expected}",
                hint="the adapter belongs to another base model",
            )


def load_adapter(folder: str | Path, config: ModelConfig) -> Adapter:
    """Read a PEFT adapter folder and check every tensor against the base model's config. Raises AdapterError."""
    folder = Path(folder)
    file = locate(folder, ADAPTER_CONFIG_NAME)
    fields = read_object(file, AdapterError, hint="name a PEFT adapter folder")
    adapter, excluded = _parse(fields, file)
    weights = locate(folder, ADAPTER_WEIGHTS_NAME)
    if not weights.exists() and (folder / "adapter_model.bin").exists():
        raise AdapterError(f"{folder} holds adapter_model.bin, a pickle; only {ADAPTER_WEIGHTS_NAME} is read")
    stored = read_tensors(weights, AdapterError)
    shapes = _expected_shapes(adapter, excluded, config)
    if not shapes:
        raise AdapterError(f"{file}: target_modules names none of {', '.join(PROJECTIONS)}")
    trained_on = _trained_on(fields)
    for key in stored:
        if key not in shapes:
            layer = _LAYER.search(key)
            deeper = layer is not None and int(layer[1]) >= config.num_hidden_layers
            raise AdapterError(
                f"{weights}: tensor {key} belongs to no adapted module of a model with "
                f"{config.num_hidden_layers} layers",
                hint=trained_on if deeper else f"supported: LoRA on {', '.join(PROJECTIONS)}",
            )
    missing = [key for key in shapes if key not in stored]
    if missing:
        raise AdapterError(
            f"{weights} lacks {shown(missing)}",
            hint=f"{trained_on}; or its two files do not belong together",
        )
    for key, shape in shapes.items():
        found = stored[key]
        if found.shape != shape or found.dtype == np.uint8:
            raise AdapterError(
                f"{weights}: tensor {key} is {found.dtype} {list(found.shape)}, expected floats {list(shape)}",
                hint=f"{trained_on}; or its config names another rank",
            )
        if not is_finite(found):
            raise AdapterError(f"{weights}: tensor {key} holds a value that is not finite")
        adapter.tensors[key] = found.astype(np.float32)
    return adapter


def _trained_on(fields: dict[str, Any]) -> str:
    """A hint for an adapter that does not fit the base model."""
    name = fields.get("base_model_name_or_path")
    if name == SHIPPED_NAME:
        return "this adapter was trained on the model that ships with Tritloom: leave out --base"
    if not isinstance(name, str) or not name:
        return "this adapter was trained on another base model: give that with --base"
    return f"this adapter was trained on {describe(name, 400)}: give that with --base"


def save_adapter(
    folder: str | Path, adapter: Adapter, base_model_name_or_path: str, *, rehearse: bool = False
) -> None:
    """Write the adapter as PEFT does: both files or neither, an older adapter replaced. Raises SaveError.

    With `rehearse` the files are written aside and removed again, to find a full disk before the training, not after.
    """
    fields = _PLAIN_FIELDS | {
        "alpha_pattern": {name: _whole(alpha) for name, alpha in adapter.alpha_pattern.items()},
        "base_model_name_or_path": base_model_name_or_path,
        "layers_to_transform": None
        if adapter.layers_to_transform is None
        else list(adapter.layers_to_transform),
        "lora_alpha": _whole(adapter.alpha),
        "lora_dropout": adapter.dropout,
        "r": adapter.r,
        "rank_pattern": dict(adapter.rank_pattern),
        "target_modules": list(adapter.target_modules),
        "use_rslora": adapter.use_rslora,
    }
    text = msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"
    tensors = {key: np.asarray(tensor, np.float32) for key, tensor in adapter.tensors.items()}
    files: dict[str, Content] = {ADAPTER_WEIGHTS_NAME: tensor_writer(tensors), ADAPTER_CONFIG_NAME: text}
    save_files(folder, files, rehearse=rehearse)


def _whole(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def _ends_with(module: str, name: str) -> bool:
    return module == name or module.endswith("." + name)


def _by_suffix(pattern: Mapping[str, _Value], module: str, otherwise: _Value) -> _Value:
    return next((value for name, value in pattern.items() if _ends_with(module, name)), otherwise)


def _parse(fields: dict[str, Any], file: Path) -> tuple[Adapter, tuple[str, ...]]:
    """The adapter without its tensors, and the excluded modules."""
    if fields.get("peft_type") != "LORA":
        raise AdapterError(f"{file}: peft_type is {describe(fields.get('peft_type'))}; supported: LORA")
    for name, value in fields.items():
        if name in _INTERPRETED or name in _DESCRIPTIVE or value == _PLAIN_FIELDS.get(name) or not value:
            continue
        raise AdapterError(
            f"{file}: {name} is {describe(value)}, which is not supported",
            hint="supported: plain LoRA without biases",
        )
    if fields.get("init_lora_weights", True) not in _PURE_INITS:
        raise AdapterError(
            f"{file}: init_lora_weights is {describe(fields['init_lora_weights'])}, which changes the base's weights",
            hint="convert the adapter to a plain LoRA with PEFT when saving it",
        )
    r: Any = fields.get("r")
    alpha: Any = fields.get("lora_alpha")
    if not _is_rank(r):
        raise AdapterError(f"{file}: r is {describe(r)}; it must be a whole number from 1 to {_MAX_RANK}")
    if not _is_number(alpha):
        raise AdapterError(f"{file}: lora_alpha is {describe(alpha)}; it must be a number")
    targets = fields.get("target_modules")
    if isinstance(targets, str) and _PLAIN_NAME.fullmatch(targets):
        targets = fields["target_modules"] = [targets]
    if not _is_names(targets) or not targets:
        raise AdapterError(
            f"{file}: target_modules is {describe(targets)}; it must be a list of module names",
            hint="a regular expression is not supported: list the modules",
        )
    excluded = fields.get("exclude_modules") or []
    excluded = [excluded] if isinstance(excluded, str) else excluded
    if not _is_names(excluded):
        raise AdapterError(
            f"{file}: exclude_modules is {describe(excluded)}; it must be a list of module names"
        )
    layers = fields.get("layers_to_transform")
    layers = [layers] if _is_index(layers) else layers
    if layers is not None and not (isinstance(layers, list) and all(map(_is_index, layers))):
        raise AdapterError(
            f"{file}: layers_to_transform is {describe(layers)}; it must be a list of layer numbers"
        )
    patterns: dict[str, dict[str, Any]] = {}
    for name, valid in (("rank_pattern", _is_rank), ("alpha_pattern", _is_number)):
        pattern = fields.get(name) or {}
        if (
            not isinstance(pattern, dict)
            or not _is_names(list(pattern))
            or not all(map(valid, pattern.values()))
        ):
            raise AdapterError(
                f"{file}: {name} is {describe(pattern)}; it must map module names to numbers",
                hint="regular expressions are not supported there: write module names",
            )
        patterns[name] = pattern
    rslora = fields.get("use_rslora", False)
    dropout = fields.get("lora_dropout", 0.0)
    if not isinstance(rslora, bool):
        raise AdapterError(f"{file}: use_rslora is {describe(rslora)}; it must be true or false")
    if not _is_number(dropout) or not 0 <= dropout < 1:
        raise AdapterError(f"{file}: lora_dropout is {describe(dropout)}; it must be from 0 to 1")
    adapter = Adapter(
        r=r,
        alpha=float(alpha),
        target_modules=tuple(targets),
        tensors={},
        use_rslora=rslora,
        rank_pattern=patterns["rank_pattern"],
        alpha_pattern={name: float(value) for name, value in patterns["alpha_pattern"].items()},
        layers_to_transform=None if layers is None else tuple(layers),
        dropout=float(dropout),
    )
    return adapter, tuple(excluded)


def _expected_shapes(
    adapter: Adapter, excluded: tuple[str, ...], config: ModelConfig
) -> dict[str, tuple[int, ...]]:
    """PEFT key -> shape of every tensor that the adapter must have, in the order of the forward pass."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config.num_hidden_layers):
        if adapter.layers_to_transform is not None and layer not in adapter.layers_to_transform:
            continue
        for projection in PROJECTIONS:
            module = module_path(layer, projection)
            targeted = any(_ends_with(module, name) for name in adapter.target_modules)
            if not targeted or any(_ends_with(module, name) for name in excluded):
                continue
            out, width = config.projection_shape(projection)
            key_a, key_b = adapter_keys(module)
            shapes[key_a] = (adapter.rank(module), width)
            shapes[key_b] = (out, adapter.rank(module))
    return shapes


def _is_rank(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_RANK


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(name, str) and _PLAIN_NAME.fullmatch(name) for name in value
    )
