"""Model folders: config.json and weights, read into one set of names, checked, and written back.

Canonical keys: `embed` [vocab, hidden], `final_norm` [hidden], `lm_head` [vocab, hidden] where untied, and for layer i
`layers.{i}.` + `attn_norm`, `ffn_norm` [hidden], `attn_sub_norm` [heads x head_dim], `ffn_sub_norm` [ffn] (graphs with
sub-norms), and the seven projections, each float master weights [out, in] (mode online) or a TernaryWeight (offline).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tritloom.models.config import CONFIG_NAME, PROJECTIONS, LinearClass, ModelConfig, load_config
from tritloom.models.errors import CheckpointError
from tritloom.models.files import Content, locate, save_files
from tritloom.models.jsonfile import read_object
from tritloom.models.tensorfile import is_finite, read_tensors, shown, tensor_writer
from tritloom.models.ternary import FloatArray, TernaryWeight, has_invalid_code, pack, ternarise

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"

Tensor = FloatArray | TernaryWeight

_FILE_NAMES = {
    "embed": "model.embed_tokens.weight",
    "final_norm": "model.norm.weight",
    "lm_head": "lm_head.weight",
}
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
    **{name: f"self_attn.{name}" for name in PROJECTIONS[:4]},
    **{name: f"mlp.{name}" for name in PROJECTIONS[4:]},
}
_SUB_NORMS_B1_58 = {"attn_sub_norm": "self_attn.inner_attn_ln", "ffn_sub_norm": "mlp.ffn_layernorm"}
# Buffers that old exporters stored; they are derived from the config.
_DERIVED_SUFFIX = ".rotary_emb.inv_freq"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A config and its tensors by canonical key (see the module's text). Constructing one checks keys and shapes.

    Float arrays keep the file's dtype (float32, float16 or ml_dtypes.bfloat16) and may be read-only views of a mapped
    file; uint8 appears only inside TernaryWeight. Raises CheckpointError.
    """

    config: ModelConfig
    tensors: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        expected = tensor_shapes(self.config)
        _compare_names(expected.keys(), self.tensors.keys(), "the checkpoint")
        for key, shape in expected.items():
            tensor = self.tensors[key]
            if tuple(tensor.shape) != shape:
                raise CheckpointError(
                    f"tensor {key} has shape {list(tensor.shape)}, config expects {list(shape)}"
                )
            if isinstance(tensor, TernaryWeight) != (self.config.mode == "offline" and _is_projection(key)):
                form = "packed" if isinstance(tensor, TernaryWeight) else "float"
                raise CheckpointError(
                    f"tensor {key} is {form}, which does not fit quantization_mode {self.config.mode}"
                )

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def array(self, key: str) -> FloatArray:
        """The float tensor of a key: an embedding, a head, a norm or a master weight."""
        tensor = self.tensors[key]
        if isinstance(tensor, TernaryWeight):
            raise CheckpointError(f"tensor {key} is packed; use ternary({key!r})")
        return tensor

    def ternary(self, key: str) -> TernaryWeight:
        """The ternary weight of a projection, made from its master weights where the model has those."""
        tensor = self.tensors[key]
        if isinstance(tensor, TernaryWeight):
            return tensor
        try:
            return ternarise(tensor)
        except CheckpointError as error:
            raise CheckpointError(f"tensor {key}: {error.message}", hint=error.hint) from None

    def head(self) -> FloatArray:
        """[vocab, hidden]: `lm_head`, or the embedding where they are tied."""
        return self.array("embed" if self.config.tie_word_embeddings else "lm_head")

    def as_packed(
        self, linear_class: LinearClass = "autobitlinear", float_dtype: npt.DTypeLike | None = None
    ) -> Checkpoint:
        """The same model with packed projections; floats converted to `float_dtype` where one is given."""
        config = replace(self.config, mode="offline", linear_class=linear_class)
        tensors: dict[str, Tensor] = {}
        for key in self.tensors:
            if _is_projection(key):
                tensors[key] = self.ternary(key)
            else:
                tensors[key] = self.array(key) if float_dtype is None else self.array(key).astype(float_dtype)
        return Checkpoint(config, tensors)


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Canonical key -> shape, for every tensor that a model of `config` has, in the order of the forward pass."""
    table = (config.vocab_size, config.hidden_size)
    norms: dict[str, tuple[int, ...]] = {
        "attn_norm": (config.hidden_size,),
        "ffn_norm": (config.hidden_size,),
    }
    if config.sub_norms:
        norms |= {"attn_sub_norm": (config.attention_size,), "ffn_sub_norm": (config.intermediate_size,)}
    shapes: dict[str, tuple[int, ...]] = {"embed": table}
    for layer in range(config.num_hidden_layers):
        shapes |= {f"layers.{layer}.{name}": shape for name, shape in norms.items()}
        shapes |= {f"layers.{layer}.{name}": config.projection_shape(name) for name in PROJECTIONS}
    shapes["final_norm"] = (config.hidden_size,)
    if not config.tie_word_embeddings:
        shapes["lm_head"] = table
    return shapes


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Read config.json and model.safetensors (or its shards) of a model folder.

    The files are mapped, not copied. Every tensor's name, dtype and shape is checked against the config, floats for
    infinities and NaNs, packed weights for invalid codes. Raises ConfigError or CheckpointError.
    """
    folder = Path(folder)
    config = load_config(folder)
    where, stored = _read_stored(folder)
    stored = {name: tensor for name, tensor in stored.items() if not name.endswith(_DERIVED_SUFFIX)}
    names = _file_names(config, stored.keys())
    if config.tie_word_embeddings and "lm_head.weight" in stored:
        embed = stored.get(names["embed"])
        if embed is None or not np.array_equal(stored.pop("lm_head.weight"), embed):
            raise CheckpointError(
                f"{where}: lm_head.weight differs from the embedding, but config.json says tie_word_embeddings",
                hint="set tie_word_embeddings to false in config.json if the head is meant to be its own",
            )
    wanted = {
        f"{name}_scale" for key, name in names.items() if config.mode == "offline" and _is_projection(key)
    }
    _compare_names(wanted | set(names.values()), stored.keys(), where)
    shapes = tensor_shapes(config)
    tensors: dict[str, Tensor] = {}
    for key, name in names.items():
        tensor = stored[name]
        if config.mode == "offline" and _is_projection(key):
            tensors[key] = _read_packed(where, name, tensor, stored[f"{name}_scale"], config, shapes[key])
            continue
        if tensor.dtype == np.uint8:
            hint = "set quantization_mode to offline in config.json if the weights are packed"
            raise CheckpointError(f"{where}: tensor {name} is uint8, expected floats", hint=hint)
        _check_shape(where, name, tensor.shape, shapes[key])
        _check_finite(where, name, tensor)
        tensors[key] = tensor
    return Checkpoint(config, tensors)


def save_checkpoint(
    folder: str | Path,
    checkpoint: Checkpoint,
    extra: Mapping[str, Content] | None = None,
    *,
    rehearse: bool = False,
) -> None:
    """Write config.json, model.safetensors and the `extra` files (a tokenizer) into `folder`, all or none.

    The form, master or packed, is the checkpoint's own (see `Checkpoint.as_packed`). With `rehearse` the files are
    written aside and removed again, to find a full disk before the training, not after. Raises SaveError.
    """
    config = checkpoint.config
    stored: dict[str, npt.NDArray[Any]] = {}
    for key, name in _file_names(config, ()).items():
        tensor = checkpoint[key]
        if isinstance(tensor, TernaryWeight):
            scale = np.float32(tensor.scale)
            stored[name] = tensor.packed
            stored[f"{name}_scale"] = np.array(
                [1 / scale if config.linear_class == "bitlinear" else scale], np.float32
            )
        else:
            stored[name] = tensor
    files: dict[str, Content] = {WEIGHTS_NAME: tensor_writer(stored), CONFIG_NAME: config.to_json()}
    save_files(folder, {**files, **(extra or {})}, rehearse=rehearse)


def _is_projection(key: str) -> bool:
    return key.rpartition(".")[2] in PROJECTIONS


def _file_names(config: ModelConfig, stored: Collection[str]) -> dict[str, str]:
    """Canonical key -> name in files. Either spelling of the sub-norms is read, whatever the architecture."""
    names = {}
    for key in tensor_shapes(config):
        if key in _FILE_NAMES:
            names[key] = _FILE_NAMES[key]
            continue
        _, layer, short = key.split(".")
        spellings = [_LAYER_NAMES[short]]
        if short in _SUB_NORMS_B1_58:
            spellings.insert(0 if config.architecture == "bitnet_b1_58" else 1, _SUB_NORMS_B1_58[short])
        candidates = [f"model.layers.{layer}.{spelling}.weight" for spelling in spellings]
        names[key] = next((name for name in candidates if name in stored), candidates[0])
    return names


def _read_stored(folder: Path) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    """What to call the file in messages, and its tensors by their names in it."""
    single, index = locate(folder, WEIGHTS_NAME), locate(folder, INDEX_NAME)
    if single.exists():
        return str(single), read_tensors(single, CheckpointError)
    if not index.exists():
        raise CheckpointError(
            f"{folder} has neither {WEIGHTS_NAME} nor {INDEX_NAME}",
            hint="other weight formats (.bin, .gguf) are not read here; convert to safetensors",
        )
    stored: dict[str, npt.NDArray[Any]] = {}
    for shard, names in _read_index(index).items():
        tensors = read_tensors(folder / shard, CheckpointError)
        _compare_names(names, tensors.keys(), f"{folder / shard} (listed in {INDEX_NAME})")
        stored |= tensors
    return str(index), stored


def _read_index(index: Path) -> dict[str, list[str]]:
    """Shard file -> the tensors that the index places in it."""
    weight_map = read_object(index, CheckpointError).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise CheckpointError(f"{index} holds no weight_map of tensor names to file names")
    shards: dict[str, list[str]] = {}
    for name, shard in weight_map.items():
        if Path(shard).name != shard or "\\" in shard or shard in ("", ".", ".."):
            raise CheckpointError(f"{index} places {name} in {shard!r}, which is not a file of this folder")
        shards.setdefault(shard, []).append(name)
    if not shards:
        raise CheckpointError(f"{index} lists no tensors")
    return shards


def _read_packed(
    where: str,
    name: str,
    weight: npt.NDArray[Any],
    scale: npt.NDArray[Any],
    config: ModelConfig,
    shape: tuple[int, ...],
) -> TernaryWeight:
    out, width = shape
    if scale.size != 1 or scale.dtype == np.uint8:
        raise CheckpointError(
            f"{where}: tensor {name}_scale is {scale.dtype} {list(scale.shape)}, expected one float"
        )
    value = np.float32(scale.reshape(-1)[0])
    if not np.isfinite(value) or (config.linear_class == "bitlinear" and value == 0):
        raise CheckpointError(f"{where}: tensor {name}_scale is {value}, not a usable scale")
    with np.errstate(over="ignore"):
        multiplier = float(np.float32(1) / value if config.linear_class == "bitlinear" else value)
    if not np.isfinite(multiplier):
        raise CheckpointError(f"{where}: tensor {name}_scale is {value}, whose inverse is not finite")
    if weight.dtype != np.uint8:
        # transformers writes the codes as floats where it saves a model that it had unpacked.
        _check_shape(where, name, weight.shape, shape)
        _check_finite(where, name, weight)
        if np.any((weight != 0) & (np.abs(weight) != 1)):
            raise CheckpointError(
                f"{where}: tensor {name} is {weight.dtype} with values other than -1, 0 and 1, expected packed weights",
                hint="set quantization_mode to online in config.json if these are master weights",
            )
        return TernaryWeight(pack(weight.astype(np.int8)), multiplier, out)
    _check_shape(where, name, weight.shape, (-(-out // 4), width))
    if has_invalid_code(weight):
        raise CheckpointError(f"{where}: tensor {name} holds the code 3, which stands for no ternary weight")
    return TernaryWeight(weight, multiplier, out)


def _check_shape(where: str, name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(found) != tuple(expected):
        raise CheckpointError(
            f"{where}: tensor {name} has shape {list(found)}, config.json expects {list(expected)}",
            hint="the weights and config.json belong to different models",
        )


def _check_finite(where: str, name: str, tensor: npt.NDArray[Any]) -> None:
    if not is_finite(tensor):
        raise CheckpointError(f"{where}: tensor {name} holds a value that is not finite")


def _compare_names(expected: Iterable[str], found: Iterable[str], where: str) -> None:
    expected, found = dict.fromkeys(expected), dict.fromkeys(found)
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    if missing or unexpected:
        parts = [f"lacks {shown(missing)}"] if missing else []
        parts += [f"holds {shown(unexpected)}, which the model does not have"] if unexpected else []
        raise CheckpointError(
            f"{where} {' and '.join(parts)}", hint="the weights and config.json belong to different models"
        )
