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

}  // namespace mgnet
