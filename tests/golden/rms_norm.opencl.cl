// rms_norm: 32 x 1 threads a program; blocks: m=1, k=32, k=32
#pragma OPENCL FP_CONTRACT OFF

__kernel __attribute__((reqd_work_group_size(32, 1, 1)))
void rms_norm(
    __global const float *x,
    __global const float *g,
    __global float *y,
    const int M,
    const int K)
{
  __local float scratch_f32[32] __attribute__((aligned(16)));
  __local float scratch_f32_1[32] __attribute__((aligned(16)));
  const int m = (int)get_group_id(0);
  const int v = (int)get_local_id(0);
  const int v_2 = (int)get_local_id(0);
  const int i = m * K;
  const int v_3 = v_2 & 16;
  const int v_4 = v_2 & 15;
  float squares = 0.0f;
  for (int k = 0; k < K; k += 32) {
    const int k_2 = k + v;
    const bool ok = k_2 < K;
    const int i_2 = i + k_2;
    const float v_5 = ok ? x[i_2] : 0.0f;
    const float v_6 = ok ? x[i_2] : 0.0f;
    const float v_7 = v_5 * v_6;
    const float v_8 = ok ? v_7 : 0.0f;
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
    scratch_f32[v_2] = v_8;
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
    const float v_9 = scratch_f32[v_3];
    const float v_10 = scratch_f32[(v_3 + 1)];
    const float v_11 = v_9 + v_10;
    const float v_12 = scratch_f32[(v_3 + 2)];
    const float v_13 = v_11 + v_12;
    const float v_14 = scratch_f32[(v_3 + 3)];
    const float v_15 = v_13 + v_14;
    const float v_16 = scratch_f32[(v_3 + 4)];
    const float v_17 = v_15 + v_16;
    const float v_18 = scratch_f32[(v_3 + 5)];
    const float v_19 = v_17 + v_18;
    const float v_20 = scratch_f32[(v_3 + 6)];
    const float v_21 = v_19 + v_20;
    const float v_22 = scratch_f32[(v_3 + 7)];
    const float v_23 = v_21 + v_22;
    const float v_24 = scratch_f32[(v_3 + 8)];
    const float v_25 = v_23 + v_24;
    const float v_26 = scratch_f32[(v_3 + 9)];
    const float v_27 = v_25 + v_26;
    const float v_28 = scratch_f32[(v_3 + 10)];
    const float v_29 = v_27 + v_28;
    const float v_30 = scratch_f32[(v_3 + 11)];
    const float v_31 = v_29 + v_30;
    const float v_32 = scratch_f32[(v_3 + 12)];
    const float v_33 = v_31 + v_32;
    const float v_34 = scratch_f32[(v_3 + 13)];
    const float v_35 = v_33 + v_34;
    const float v_36 = scratch_f32[(v_3 + 14)];
    const float v_37 = v_35 + v_36;
    const float v_38 = scratch_f32[(v_3 + 15)];
    const float v_39 = v_37 + v_38;
    scratch_f32_1[v_2] = v_39;
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
    const float v_40 = scratch_f32_1[v_4];
    const float v_41 = scratch_f32_1[(v_4 + 16)];
    const float v_42 = v_40 + v_41;
    const float squares_2 = squares + v_42;
    squares = squares_2;
  }
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
  const float v_43 = (float)K;
  const float v_44 = squares / v_43;
  const float v_45 = v_44 + 9.99999975e-06f;
  const float r = 1.0f / sqrt(v_45);
  for (int k_3 = 0; k_3 < K; k_3 += 32) {
    const int k_4 = k_3 + v;
    const bool ok_2 = k_4 < K;
    const int i_3 = i + k_4;
    const float v_46 = ok_2 ? x[i_3] : 0.0f;
    const float v_47 = v_46 * r;
    const float v_48 = ok_2 ? g[k_4] : 0.0f;
    const float v_49 = v_47 * v_48;
    if (ok_2) y[i_3] = v_49;
  }
}
