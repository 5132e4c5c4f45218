// A block of threads that work in steps: in a step every thread does its part, and the next one
// begins when all are done. Compiled by nvcc a step ends at a barrier; compiled as plain C++ the
// threads take their turns, so that a machine without a GPU can check all that a block computes.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace mgnet {
namespace MGNET_ISA {

enum { kBlockThreads = 256 };

#if defined(__CUDACC__)
#define MGNET_DEVICE static __device__ __forceinline__
// Before a loop: unrolled it would need more registers than there are.
#define MGNET_ROLLED _Pragma("unroll 1")
struct Block {
  template <class Part>
  __device__ __forceinline__ void step(const Part& part) const {
    part((int)threadIdx.x);
    __syncthreads();
  }
};
#else
#define MGNET_DEVICE static inline
#define MGNET_ROLLED
struct Block {
  template <class Part>
  void step(const Part& part) const {
    for (int thread = 0; thread < kBlockThreads; ++thread) part(thread);
  }
};
#endif

MGNET_DEVICE float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
MGNET_DEVICE double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }

template <class Real>
MGNET_DEVICE Real blend(Real left, Real a, Real right, Real b) {
  return multiply_add(right, b, left * a);
}

}  // namespace MGNET_ISA
}  // namespace mgnet
