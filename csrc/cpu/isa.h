// Names the instruction set that this object file is compiled for. Everything a kernel object
// defines lives in its own namespace, mgnet::<isa>, and no standard-library template is used there:
// an inline function shared by name between objects would be kept once by the linker, possibly in
// the form that this processor cannot run.
#pragma once

#if defined(MGNET_ISA_AVX512)
#define MGNET_ISA avx512
#define MGNET_ISA_NAME "avx512"
#elif defined(MGNET_ISA_AVX2)
#define MGNET_ISA avx2
#define MGNET_ISA_NAME "avx2"
#elif defined(MGNET_ISA_GPU)
#define MGNET_ISA gpu
#define MGNET_ISA_NAME "gpu"
#else
#define MGNET_ISA portable
#define MGNET_ISA_NAME "portable"
#endif

#if defined(__CUDACC__)
#define MGNET_INLINE static __host__ __device__ __forceinline__
#else
#define MGNET_INLINE static inline __attribute__((always_inline))
#endif
#define MGNET_RESTRICT __restrict__
