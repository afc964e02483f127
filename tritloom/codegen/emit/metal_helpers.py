"""The Metal functions that emitted kernels call, each put into the source of the kernels that need it."""

from __future__ import annotations

from tritloom.codegen.emit.opencl_helpers import HELPERS as OPENCL

HELPERS: dict[str, str] = {
    **{name: OPENCL[name] for name in ("f32_to_i8", "f32_to_i16", "f32_to_i32", "f32_to_u8", "f32_to_u32")},
    **{name: OPENCL[name] for name in ("dot4_ss", "dot4_us", "magnitude")},
    "bf16_to_f32": """
static inline float bf16_to_f32(ushort bits) { return as_type<float>((uint)bits << 16); }
""",
    "f32_to_bf16": """
// Rounds halves to even; a NaN stays one.
static inline ushort f32_to_bf16(float value)
{
  const uint bits = as_type<uint>(value);
  const uint rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return (ushort)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded);
}
""",
    "f16_to_f32": """
static inline float f16_to_f32(ushort bits) { return (float)as_type<half>(bits); }
""",
    "f32_to_f16": """
static inline ushort f32_to_f16(float value) { return as_type<ushort>((half)value); }
""",
}
"""Source by the name of the function."""
