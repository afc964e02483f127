// add: 32 x 1 threads a program; blocks: m=2, n=32
#pragma OPENCL FP_CONTRACT OFF

__kernel __attribute__((reqd_work_group_size(32, 1, 1)))
void add(
    __global const float *x,
    __global const float *y,
    __global float *z,
    const int M,
    const int N)
{
  const int v = (int)get_group_id(0);
  const int v_2 = (N + 31) / 32;
  const int m = (int)((uint)(v / v_2) * 2);
  const int m_2 = m + 1;
  const int n = ((int)((uint)(v % v_2) * 32)) + ((int)get_local_id(0));
  const bool ok = n < N;
  const bool ok_2 = (m < M) && ok;
  const bool ok_3 = (m_2 < M) && ok;
  const int i = (m * N) + n;
  const float v_3 = ok_2 ? x[i] : 0.0f;
  const int i_2 = (m_2 * N) + n;
  const float v_4 = ok_3 ? x[i_2] : 0.0f;
  const float v_5 = ok ? y[n] : 0.0f;
  const float v_6 = v_3 + v_5;
  const float v_7 = v_4 + v_5;
  if (ok_2) z[i] = v_6;
  if (ok_3) z[i_2] = v_7;
}
