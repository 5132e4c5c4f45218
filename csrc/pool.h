// Images of different sizes in one flat buffer. Each glimpse of a pool becomes a job of its own on
// one ordinary image. So the kernels need no code for pools, each image takes the path that suits
// it, and the result has the same bits as a call for that image alone.
#pragma once

#include <vector>

#include "job.h"

namespace mgnet {

// One job for each glimpse of a job that check_job has passed; its units are those of glimpse 0.
// Every entry that a region looks at must lie in the buffer; it is read once, so that what was
// checked is what the kernels see even where another thread writes to the table.
std::vector<Job> glimpses_of_pool(const Job& job);

}  // namespace mgnet
