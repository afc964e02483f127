// Metal as this project reads it, on a CPU: what emitted kernels use of metal_stdlib, in C++17 for clang.
//
// Address spaces are words for nothing. Each thread of a threadgroup is a fiber (runtime.cpp) that stops where Metal's
// threads meet. So barriers, exchange within a simdgroup and simdgroup matrices do what they do on a GPU, and threads
// that meet in different places are an error with its line.
#pragma once

typedef __INT32_TYPE__ int32;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef _Float16 half;
struct bfloat {
  ushort bits;
  operator float() const { return __builtin_bit_cast(float, (uint)bits << 16); }
};

#define VECTORS(T) \
  typedef T T##2 __attribute__((ext_vector_type(2))); \
  typedef T T##4 __attribute__((ext_vector_type(4))); \
  typedef T packed_##T##2 __attribute__((ext_vector_type(2), aligned(alignof(T)))); \
  typedef T packed_##T##4 __attribute__((ext_vector_type(4), aligned(alignof(T))));
VECTORS(char)
VECTORS(uchar)
VECTORS(short)
VECTORS(ushort)
VECTORS(int)
VECTORS(uint)
VECTORS(ulong)
VECTORS(float)
#undef VECTORS

#define device
#define constant const
#define thread
#define threadgroup
#define kernel
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")

// the runtime

struct shim_subgroup {
  int threads;
  uint words[2][32];
  ulong places[2][32];
  float left[2][64], right[2][64];
};

struct shim_thread {
  shim_subgroup *subgroup;
  uint group, number, lane, simdgroup;
  uint meetings; // at simdgroup_barrier
  int parity;
};

extern "C" {
extern shim_thread *shim_self;
void shim_barrier(int line);
// Waits for the threads of the simdgroup. What was put into the buffers of `parity` may be read until the next meeting.
void shim_meet(int line);
// What the threads of the simdgroup touched until now is ordered before what they touch next.
void shim_ordered();
[[noreturn]] void shim_fail(int line, const char *what);
}

namespace metal {

template <class V> struct element_of;
template <class T> struct element_of<T __attribute__((ext_vector_type(2)))> { typedef T type; };
template <class T> struct element_of<T __attribute__((ext_vector_type(4)))> { typedef T type; };

template <class V, class A> inline V made(A a)
{
  if constexpr (sizeof(A) >= 2 * sizeof(typename element_of<V>::type) && !__is_arithmetic(A))
    return __builtin_convertvector(a, V);
  else
    return (V)(typename element_of<V>::type)a;
}
template <class V, class A, class B> inline V made(A a, B b)
{
  typedef typename element_of<V>::type E;
  return V{(E)a, (E)b};
}
template <class V, class A, class B, class C, class D> inline V made(A a, B b, C c, D d)
{
  typedef typename element_of<V>::type E;
  return V{(E)a, (E)b, (E)c, (E)d};
}

template <class T, class F> inline T as_type(F value)
{
  static_assert(sizeof(T) == sizeof(F), "as_type keeps the size");
  return __builtin_bit_cast(T, value);
}

inline float floor(float x) { return __builtin_floorf(x); }
inline float rint(float x) { return __builtin_rintf(x); }
inline float fabs(float x) { return __builtin_fabsf(x); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float fmin(float a, float b) { return __builtin_fminf(a, b); }
inline float fmax(float a, float b) { return __builtin_fmaxf(a, b); }
template <class T> inline T min(T a, T b) { return b < a ? b : a; }
template <class T> inline T max(T a, T b) { return a < b ? b : a; }
namespace precise {
inline float sqrt(float x) { return __builtin_sqrtf(x); }
}

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };
constexpr mem_flags operator|(mem_flags a, mem_flags b) { return (mem_flags)((int)a | (int)b); }

inline void threadgroup_barrier(mem_flags, int line = __builtin_LINE()) { shim_barrier(line); }
inline void simdgroup_barrier(mem_flags, int line = __builtin_LINE())
{
  shim_meet(line);
  shim_ordered();
}

template <class T> inline T simd_shuffle_xor(T value, ushort mask, int line = __builtin_LINE())
{
  shim_thread *self = shim_self;
  uint *words = self->subgroup->words[self->parity];
  uint partner = self->lane ^ mask;
  if (partner >= (uint)self->subgroup->threads)
    shim_fail(line, "exchanges with a thread that there is not");
  words[self->lane] = as_type<uint>(value);
  shim_meet(line);
  return as_type<T>(words[partner]);
}

// A matrix of a simdgroup: each of 32 threads holds two neighbouring elements.
template <class T, int Columns, int Rows> struct simdgroup_matrix {
  static_assert(Columns == 8 && Rows == 8, "simdgroup matrices are 8 x 8");
  T elements[2];
};
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;

template <class T, int Columns, int Rows> inline simdgroup_matrix<T, Columns, Rows> make_filled_simdgroup_matrix(T value)
{
  return {{value, value}};
}

// All threads of a simdgroup are here with the same pointer.
inline void shim_together(const void *place, ulong2 origin, int line)
{
  shim_thread *self = shim_self;
  ulong *places = self->subgroup->places[self->parity];
  if (self->subgroup->threads != 32)
    shim_fail(line, "uses a matrix in a simdgroup of fewer than 32 threads");
  if (origin.x || origin.y)
    shim_fail(line, "has a matrix origin, which the shim has not");
  places[self->lane] = (ulong)place;
  shim_meet(line);
  if (places[0] != (ulong)place)
    shim_fail(line, "has a matrix at another place than the simdgroup's first thread");
}

inline ulong shim_offset(int element, ulong stride, bool transposed)
{
  ulong number = shim_self->lane * 2 + element, row = number / 8, column = number % 8;
  return transposed ? column * stride + row : row * stride + column;
}

template <class T>
inline void simdgroup_load(simdgroup_matrix<T, 8, 8> &matrix, const T *place, ulong stride = 8, ulong2 origin = 0,
                           bool transposed = false, int line = __builtin_LINE())
{
  shim_together(place, origin, line);
  for (int i = 0; i < 2; ++i)
    matrix.elements[i] = place[shim_offset(i, stride, transposed)];
}

template <class T>
inline void simdgroup_store(simdgroup_matrix<T, 8, 8> matrix, T *place, ulong stride = 8, ulong2 origin = 0,
                            bool transposed = false, int line = __builtin_LINE())
{
  shim_together(place, origin, line);
  for (int i = 0; i < 2; ++i)
    place[shim_offset(i, stride, transposed)] = matrix.elements[i];
}

void shim_multiply(const float *left, const float *right, float *sums, int line);

template <class T, class A, class B>
inline void simdgroup_multiply_accumulate(simdgroup_matrix<T, 8, 8> &result, simdgroup_matrix<A, 8, 8> &a,
                                          simdgroup_matrix<B, 8, 8> &b, simdgroup_matrix<T, 8, 8> &c,
                                          int line = __builtin_LINE())
{
  float left[2] = {(float)a.elements[0], (float)a.elements[1]};
  float right[2] = {(float)b.elements[0], (float)b.elements[1]};
  float sums[2] = {(float)c.elements[0], (float)c.elements[1]};
  shim_multiply(left, right, sums, line);
  result.elements[0] = (T)sums[0], result.elements[1] = (T)sums[1];
}

} // namespace metal

#define char4(...) metal::made<char4>(__VA_ARGS__)
#define uchar4(...) metal::made<uchar4>(__VA_ARGS__)
#define short4(...) metal::made<short4>(__VA_ARGS__)
#define ushort4(...) metal::made<ushort4>(__VA_ARGS__)
#define int4(...) metal::made<int4>(__VA_ARGS__)
#define uint4(...) metal::made<uint4>(__VA_ARGS__)
#define float4(...) metal::made<float4>(__VA_ARGS__)
#define char2(...) metal::made<char2>(__VA_ARGS__)
#define uchar2(...) metal::made<uchar2>(__VA_ARGS__)
#define short2(...) metal::made<short2>(__VA_ARGS__)
#define ushort2(...) metal::made<ushort2>(__VA_ARGS__)
#define int2(...) metal::made<int2>(__VA_ARGS__)
#define uint2(...) metal::made<uint2>(__VA_ARGS__)
#define ulong2(...) metal::made<ulong2>(__VA_ARGS__)
#define float2(...) metal::made<float2>(__VA_ARGS__)
