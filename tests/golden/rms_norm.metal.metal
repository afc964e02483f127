// rms_norm: 32 x 1 threads a program; blocks: m=1, k=32, k=32
#include <metal_stdlib>
using namespace metal;
#pragma METAL fp contract(off)

struct rms_norm_arguments {
  int M;
  int K;
};

[[max_total_threads_per_threadgroup(32)]]
kernel void rms_norm(
    device const float *x [[buffer(0)]],
    device const float *g [[buffer(1)]],
    device float *y [[buffer(2)]],
    constant rms_norm_arguments &arguments [[buffer(3)]],
    uint group_number [[threadgroup_position_in_grid]],
    uint simdgroup_number [[simdgroup_index_in_threadgroup]],
    uint simdgroup_lane [[thread_index_in_simdgroup]])
{
  const int m = (int)group_number;
  const int v = (int)(simdgroup_number * 32 + simdgroup_lane);
  const int i = m * arguments.K;
  float squares = 0.0f;
  for (int k = 0; k < arguments.K; k += 32) {
    const int k_2 = (int)((uint)k + v);
    const bool ok = k_2 < arguments.K;
    const int i_2 = i + k_2;
    const float v_2 = ok ? x[i_2] : 0.0f;
    const float v_3 = ok ? x[i_2] : 0.0f;
    const float v_4 = v_2 * v_3;
    const float v_5 = ok ? v_4 : 0.0f;
    const float v_6 = squares + v_5;
    squares = v_6;
  }
  const float v_7 = simd_shuffle_xor(squares, 1);
  const float v_8 = squares + v_7;
  const float v_9 = simd_shuffle_xor(v_8, 2);
  const float v_10 = v_8 + v_9;
  const float v_11 = simd_shuffle_xor(v_10, 4);
  const float v_12 = v_10 + v_11;
  const float v_13 = simd_shuffle_xor(v_12, 8);
  const float v_14 = v_12 + v_13;
  const float v_15 = simd_shuffle_xor(v_14, 16);
  const float v_16 = v_14 + v_15;
  const float squares_2 = 0.0f + v_16;
  const float v_17 = (float)arguments.K;
  const float v_18 = squares_2 / v_17;
  const float v_19 = v_18 + 9.99999975e-06f;
  const float r = 1.0f / precise::sqrt(v_19);
  for (int k_3 = 0; k_3 < arguments.K; k_3 += 32) {
    const int k_4 = (int)((uint)k_3 + v);
    const bool ok_2 = k_4 < arguments.K;
    const int i_3 = i + k_4;
    const float v_20 = ok_2 ? x[i_3] : 0.0f;
    const float v_21 = v_20 * r;
    const float v_22 = ok_2 ? g[k_4] : 0.0f;
    const float v_23 = v_21 * v_22;
    if (ok_2) y[i_3] = v_23;
  }
}
