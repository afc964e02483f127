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
  float squares = 0.0f;
  for (int k = 0; k < K; k += 32) {
    const int k_2 = k + v;
    const bool ok = k_2 < K;
    const int i_2 = i + k_2;
    const float v_3 = ok ? x[i_2] : 0.0f;
    const float v_4 = ok ? x[i_2] : 0.0f;
    const float v_5 = v_3 * v_4;
    const float v_6 = ok ? v_5 : 0.0f;
    const float v_7 = squares + v_6;
    squares = v_7;
  }
  scratch_f32[v_2] = squares;
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
  const int v_8 = v_2 & 16;
  const float v_9 = scratch_f32[v_8];
  const float v_10 = scratch_f32[(v_8 + 1)];
  const float v_11 = v_9 + v_10;
  const float v_12 = scratch_f32[(v_8 + 2)];
  const float v_13 = v_11 + v_12;
  const float v_14 = scratch_f32[(v_8 + 3)];
  const float v_15 = v_13 + v_14;
  const float v_16 = scratch_f32[(v_8 + 4)];
  const float v_17 = v_15 + v_16;
  const float v_18 = scratch_f32[(v_8 + 5)];
  const float v_19 = v_17 + v_18;
  const float v_20 = scratch_f32[(v_8 + 6)];
  const float v_21 = v_19 + v_20;
  const float v_22 = scratch_f32[(v_8 + 7)];
  const float v_23 = v_21 + v_22;
  const float v_24 = scratch_f32[(v_8 + 8)];
  const float v_25 = v_23 + v_24;
  const float v_26 = scratch_f32[(v_8 + 9)];
  const float v_27 = v_25 + v_26;
  const float v_28 = scratch_f32[(v_8 + 10)];
  const float v_29 = v_27 + v_28;
  const float v_30 = scratch_f32[(v_8 + 11)];
  const float v_31 = v_29 + v_30;
  const float v_32 = scratch_f32[(v_8 + 12)];
  const float v_33 = v_31 + v_32;
  const float v_34 = scratch_f32[(v_8 + 13)];
  const float v_35 = v_33 + v_34;
  const float v_36 = scratch_f32[(v_8 + 14)];
  const float v_37 = v_35 + v_36;
  const float v_38 = scratch_f32[(v_8 + 15)];
  const float v_39 = v_37 + v_38;
  scratch_f32_1[v_2] = v_39;
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
  const int v_40 = v_2 & 15;
  const float v_41 = scratch_f32_1[v_40];
  const float v_42 = scratch_f32_1[(v_40 + 16)];
  const float v_43 = v_41 + v_42;
  const float squares_2 = 0.0f + v_43;
  const float v_44 = (float)K;
  const float v_45 = squares_2 / v_44;
  const float v_46 = v_45 + 9.99999975e-06f;
  const float r = 1.0f / sqrt(v_46);
  for (int k_3 = 0; k_3 < K; k_3 += 32) {
    const int k_4 = k_3 + v;
    const bool ok_2 = k_4 < K;
    const int i_3 = i + k_4;
    const float v_47 = ok_2 ? x[i_3] : 0.0f;
    const float v_48 = v_47 * r;
    const float v_49 = ok_2 ? g[k_4] : 0.0f;
    const float v_50 = v_48 * v_49;
    if (ok_2) y[i_3] = v_50;
  }
}
