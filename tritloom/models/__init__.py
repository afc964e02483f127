"""Top floor: the reference programs. BitNet, LoRA, data, checkpoints, training, generation, command line."""

from tritloom.models.model import Model, load_model

__all__ = ["Model", "load_model"]
