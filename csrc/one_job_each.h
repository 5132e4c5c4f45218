// Calls whose glimpses have no path in common: those of a pool, which is images of different sizes
// in one flat buffer, and antialiased ones, of which some need the filter. Each glimpse becomes a
// job of its own on one ordinary image. So the kernels need no code for pools, each glimpse takes
// the path that suits it, and the result has the same bits as a call for that glimpse alone.
#pragma once

#include <vector>

#include "job.h"

namespace mgnet {

bool needs_one_job_each(const Job& job);

// Throws for an antialiased job on one image whose rows are too long for the filter's memory.
void check_filtered_row(const Job& one);

// One job for each glimpse of a job that check_job has passed; its units are those of glimpse 0.
// Every entry of a pool that a region looks at must lie in the buffer; it is read once, so that
// what was checked is what the kernels see even where another thread writes to the table.
std::vector<Job> one_job_each(const Job& job);

}  // namespace mgnet
