"""The OpenCL C functions that emitted kernels call, each put into the source of the kernels that need it."""

from __future__ import annotations


def _saturating(name: str, result: str, least: str, above: str, greatest: str, beyond: str) -> str:
    """A conversion of floats that truncates and saturates, NaN to 0. `above` is the least float that is not too small,
    `beyond` the least that is too large. (Drivers differ in what convert_T_sat makes of a NaN.)"""
    below = f"value < 0.0f ? {least} : 0" if least != "0" else "0"
    return f"""
static inline {result} f32_to_{name}(float value)
{{
  return value >= {beyond} ? {greatest} : value >= {above} ? ({result})value : {below};
}}
"""


HELPERS: dict[str, str] = {
    "f32_to_i8": _saturating("i8", "char", "-128", "-128.0f", "127", "128.0f"),
    "f32_to_i16": _saturating("i16", "short", "-32768", "-32768.0f", "32767", "32768.0f"),
    "f32_to_i32": _saturating(
        "i32", "int", "(-2147483647 - 1)", "-2147483648.0f", "2147483647", "2147483648.0f"
    ),
    "f32_to_u8": _saturating("u8", "uchar", "0", "0.0f", "255", "256.0f"),
    "f32_to_u32": _saturating("u32", "uint", "0", "0.0f", "4294967295u", "4294967296.0f"),
    "multiply_add": """
#ifdef FP_FAST_FMAF
#define multiply_add(a, b, c) fma(a, b, c)
#else
#define multiply_add(a, b, c) mad(a, b, c)
#endif
""",
    "magnitude": """
// The least integer stays. (After abs() drivers take it that no number is negative.)
static inline int magnitude(int value) { return value < 0 ? (int)(0u - (uint)value) : value; }
""",
    "bf16_to_f32": """
static inline float bf16_to_f32(ushort bits) { return as_float((uint)bits << 16); }
""",
    "f32_to_bf16": """
// Rounds halves to even; a NaN stays one.
static inline ushort f32_to_bf16(float value)
{
  const uint bits = as_uint(value);
  const uint rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return (ushort)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded);
}
""",
    "f16_to_f32": """
static inline float f16_to_f32(ushort bits) { return vload_half(0, (const __private half *)&bits); }
""",
    "f32_to_f16": """
static inline ushort f32_to_f16(float value)
{
  ushort bits;
  vstore_half_rte(value, 0, (__private half *)&bits);
  return bits;
}
""",
    "dot4_ss": """
static inline int dot4_ss(int total, char4 a, char4 b)
{
  return (int)((uint)total + (uint)(a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w));
}
""",
    "dot4_us": """
static inline int dot4_us(int total, uchar4 a, char4 b)
{
  return (int)((uint)total + (uint)(a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w));
}
""",
    "dot4_ss_native": """
static inline int dot4_ss_native(int total, char4 a, char4 b) { return (int)((uint)total + (uint)dot(a, b)); }
""",
    "dot4_us_native": """
static inline int dot4_us_native(int total, uchar4 a, char4 b) { return (int)((uint)total + (uint)dot(a, b)); }
""",
}
"""Source by the name of the function or macro."""
