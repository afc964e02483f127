"""The OpenCL C functions that emitted kernels call, each put into the source of the kernels that need it."""

from __future__ import annotations

HELPERS: dict[str, str] = {
    "multiply_add": """
#ifdef FP_FAST_FMAF
#define multiply_add(a, b, c) fma(a, b, c)
#else
#define multiply_add(a, b, c) mad(a, b, c)
#endif
""",
    "bf16_to_f32": """
inline float bf16_to_f32(ushort bits) { return as_float((uint)bits << 16); }
""",
    "f32_to_bf16": """
// Rounds halves to even; a NaN stays one.
inline ushort f32_to_bf16(float value)
{
  const uint bits = as_uint(value);
  const uint rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return (ushort)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded);
}
""",
    "f16_to_f32": """
inline float f16_to_f32(ushort bits) { return vload_half(0, (const __private half *)&bits); }
""",
    "f32_to_f16": """
inline ushort f32_to_f16(float value)
{
  ushort bits;
  vstore_half_rte(value, 0, (__private half *)&bits);
  return bits;
}
""",
    "f16_to_f32_native": """
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
inline float f16_to_f32_native(ushort bits) { return convert_float(as_half(bits)); }
""",
    "f32_to_f16_native": """
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
inline ushort f32_to_f16_native(float value) { return as_ushort(convert_half_rte(value)); }
""",
    "dot4_ss": """
inline int dot4_ss(int total, char4 a, char4 b) { return total + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }
""",
    "dot4_us": """
inline int dot4_us(int total, uchar4 a, char4 b) { return total + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }
""",
    "dot4_ss_native": """
inline int dot4_ss_native(int total, char4 a, char4 b) { return total + dot(a, b); }
""",
    "dot4_us_native": """
inline int dot4_us_native(int total, uchar4 a, char4 b) { return total + dot(a, b); }
""",
}
"""Source by the name of the function or macro."""
