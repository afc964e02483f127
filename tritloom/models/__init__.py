"""Top floor: the reference programs. BitNet, LoRA, data, checkpoints, training, generation, command line."""
