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

// The same, but those for AVX2 on processors that compute AVX-512 in two halves, unless AVX-512 was
// asked for: with a pair of registers the chains of a convolution are as long, and its tiles fit
// the maps better. The bits are the same.
const Kernels& convolution_kernels();

}  // namespace mgnet
