// One table of kernels per instruction set that was compiled in.
#pragma once

#include "job.h"

namespace mgnet {
namespace portable {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}

// Those of the instruction set in use.
const Kernels& selected_kernels();

// The same, but those for AVX2 on Zen 4, which computes AVX-512 in two halves, unless a set was
// asked for. There they take .92 of the time of a backbone, with the same bits
// (docs/performance.md).
const Kernels& convolution_kernels();

}  // namespace mgnet
