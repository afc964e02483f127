// add: 32 x 2 threads a program; blocks: m=2, n=32
#include <metal_stdlib>
using namespace metal;
#pragma METAL fp contract(off)

struct add_arguments {
  int M;
  int N;
};

[[max_total_threads_per_threadgroup(64)]]
kernel void add(
    device const float *x [[buffer(0)]],
    device const float *y [[buffer(1)]],
    device float *z [[buffer(2)]],
    constant add_arguments &arguments [[buffer(3)]],
    uint group_number [[threadgroup_position_in_grid]],
    uint thread_number [[thread_position_in_threadgroup]])
{
  const int v = (int)group_number;
  const int v_2 = ((int)((uint)arguments.N + 31)) / 32;
  const int m = (int)((uint)((int)((uint)(v / v_2) * 2)) + ((int)(thread_number / 32)));
  const int n = (int)((uint)((int)((uint)(v % v_2) * 32)) + ((int)(thread_number % 32)));
  const bool ok = n < arguments.N;
  const bool ok_2 = (m < arguments.M) && ok;
  const int i = (m * arguments.N) + n;
  const float v_3 = ok_2 ? x[i] : 0.0f;
  const float v_4 = ok ? y[n] : 0.0f;
  const float v_5 = v_3 + v_4;
  if (ok_2) z[i] = v_5;
}
