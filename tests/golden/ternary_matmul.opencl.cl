// ternary_matmul: 16 x 2 threads a program; blocks: n=16, m=2, k=16
#pragma OPENCL FP_CONTRACT OFF

#ifdef FP_FAST_FMAF
#define multiply_add(a, b, c) fma(a, b, c)
#else
#define multiply_add(a, b, c) mad(a, b, c)
#endif

static inline int f32_to_i32(float value)
{
  return value >= 2147483648.0f ? 2147483647 : value >= -2147483648.0f ? (int)value : value < 0.0f ? (-2147483647 - 1) : 0;
}

__kernel __attribute__((reqd_work_group_size(16, 2, 1)))
void ternary_matmul(
    __global const char *x,
    __global const uint *w,
    __global int *y,
    const int M,
    const int K,
    const int N)
{
  __local float scratch_f32[96] __attribute__((aligned(16)));
  __local float scratch_f32_1[320] __attribute__((aligned(16)));
  const int v = (int)get_group_id(0);
  const int v_2 = (int)get_local_id(0);
  const int v_3 = (int)get_local_id(1);
  const int v_4 = (M + 1) / 2;
  const int n = ((int)((uint)(v / v_4) * 16)) + v_2;
  const int m = ((int)((uint)(v % v_4) * 2)) + v_3;
  const bool ok = m < M;
  const int i = m * K;
  const int i_2 = v_3 + (((int)((uint)v_2 * 6)));
  const bool ok_2 = n < N;
  const int v_5 = 0 << 4;
  const bool ok_3 = (((int)get_local_id(1) * 16 + (int)get_local_id(0)) & 16) == 0;
  const int i_3 = v_2 + (v_5 * 20);
  int total = 0;
  for (int k = 0; k < K; k += 16) {
    const int k_2 = k + v_2;
    const bool ok_4 = k_2 < K;
    const char v_6 = (ok && ok_4) ? x[i + k_2] : ((char)0);
    const float v_7 = (float)v_6;
    const float v_8 = ok_4 ? v_7 : 0.0f;
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
    scratch_f32[i_2] = v_8;
    const uint v_9 = (ok_2 && ((k + v_5) < K)) ? w[(n * (((K + 15) >> 4))) + ((k >> 4))] : 0u;
    const int v_10 = (int)(v_9 & 3u);
    const int v_11 = (int)((v_9 >> 8u) & 3u);
    const int v_12 = (int)((v_9 >> 16u) & 3u);
    const int v_13 = (int)((v_9 >> 24u) & 3u);
    const int v_14 = (int)((v_9 >> 2u) & 3u);
    const int v_15 = (int)((v_9 >> 10u) & 3u);
    const int v_16 = (int)((v_9 >> 18u) & 3u);
    const int v_17 = (int)((v_9 >> 26u) & 3u);
    const int v_18 = (int)((v_9 >> 4u) & 3u);
    const int v_19 = (int)((v_9 >> 12u) & 3u);
    const int v_20 = (int)((v_9 >> 20u) & 3u);
    const int v_21 = (int)((v_9 >> 28u) & 3u);
    const int v_22 = (int)((v_9 >> 6u) & 3u);
    const int v_23 = (int)((v_9 >> 14u) & 3u);
    const int v_24 = (int)((v_9 >> 22u) & 3u);
    const int v_25 = (int)((v_9 >> 30u) & 3u);
    if (ok_3) {
      const float v_26 = (float)v_10;
      const float v_27 = v_26 - 1.0f;
      scratch_f32_1[i_3] = v_27;
      const float v_28 = (float)v_11;
      const float v_29 = v_28 - 1.0f;
      scratch_f32_1[i_3 + 20] = v_29;
      const float v_30 = (float)v_12;
      const float v_31 = v_30 - 1.0f;
      scratch_f32_1[i_3 + 40] = v_31;
      const float v_32 = (float)v_13;
      const float v_33 = v_32 - 1.0f;
      scratch_f32_1[i_3 + 60] = v_33;
      const float v_34 = (float)v_14;
      const float v_35 = v_34 - 1.0f;
      scratch_f32_1[i_3 + 80] = v_35;
      const float v_36 = (float)v_15;
      const float v_37 = v_36 - 1.0f;
      scratch_f32_1[i_3 + 100] = v_37;
      const float v_38 = (float)v_16;
      const float v_39 = v_38 - 1.0f;
      scratch_f32_1[i_3 + 120] = v_39;
      const float v_40 = (float)v_17;
      const float v_41 = v_40 - 1.0f;
      scratch_f32_1[i_3 + 140] = v_41;
      const float v_42 = (float)v_18;
      const float v_43 = v_42 - 1.0f;
      scratch_f32_1[i_3 + 160] = v_43;
      const float v_44 = (float)v_19;
      const float v_45 = v_44 - 1.0f;
      scratch_f32_1[i_3 + 180] = v_45;
      const float v_46 = (float)v_20;
      const float v_47 = v_46 - 1.0f;
      scratch_f32_1[i_3 + 200] = v_47;
      const float v_48 = (float)v_21;
      const float v_49 = v_48 - 1.0f;
      scratch_f32_1[i_3 + 220] = v_49;
      const float v_50 = (float)v_22;
      const float v_51 = v_50 - 1.0f;
      scratch_f32_1[i_3 + 240] = v_51;
      const float v_52 = (float)v_23;
      const float v_53 = v_52 - 1.0f;
      scratch_f32_1[i_3 + 260] = v_53;
      const float v_54 = (float)v_24;
      const float v_55 = v_54 - 1.0f;
      scratch_f32_1[i_3 + 280] = v_55;
      const float v_56 = (float)v_25;
      const float v_57 = v_56 - 1.0f;
      scratch_f32_1[i_3 + 300] = v_57;
    }
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
    float v_58 = 0.0f;
    #pragma unroll 1
    for (int k_3 = 0; k_3 < 16; k_3 += 4) {
      const int i_4 = v_3 + (k_3 * 6);
      const float v_59 = scratch_f32[i_4];
      const int i_5 = v_2 + (k_3 * 20);
      const float v_60 = scratch_f32_1[i_5];
      const float v_61 = multiply_add(v_59, v_60, v_58);
      const float v_62 = scratch_f32[i_4 + 6];
      const float v_63 = scratch_f32_1[i_5 + 20];
      const float v_64 = multiply_add(v_62, v_63, v_61);
      const float v_65 = scratch_f32[i_4 + 12];
      const float v_66 = scratch_f32_1[i_5 + 40];
      const float v_67 = multiply_add(v_65, v_66, v_64);
      const float v_68 = scratch_f32[i_4 + 18];
      const float v_69 = scratch_f32_1[i_5 + 60];
      const float v_70 = multiply_add(v_68, v_69, v_67);
      v_58 = v_70;
    }
    const int v_71 = (int)((uint)total + (f32_to_i32(v_58)));
    total = v_71;
  }
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
  if (ok_2 && ok) y[(m * N) + n] = total;
}
