// Score, softmax and weighted sum over the positions of a map, in float32. Formulas and contract:
// mgnet_fast/ops/attention/attention_pool.py.
#pragma once

#include <cstdint>

namespace mgnet {

// A batch of maps. One of the two sides, positions or channels, lies side by side in memory.
struct AttendedMaps {
  const float* data;
  int64_t count, channels, positions;
  bool channels_last;    // a row is a position's channels, otherwise a channel's positions
  int64_t stride_image;  // between maps, in elements
  int64_t stride_row;    // between rows
  const float* query;    // [count, channels], or [channels] with stride 0
  int64_t stride_query;
};

struct Attended {
  float* pooled;   // [count, channels], written
  float* weights;  // [count, positions], written
};

struct AttendedGradients {
  const float* weights;       // [count, positions], of the forward pass
  const float* from_pooled;   // [count, channels]
  const float* from_weights;  // [count, positions] or null
  float* maps;                // in the layout of the maps, rows without gaps, or null
  float* query;               // [count, channels], written
};

// A map's results depend neither on the other maps nor on the number of threads, bit for bit.
void attention_pool(const AttendedMaps& maps, const Attended& found, int threads);
void attention_pool_backward(const AttendedMaps& maps, const AttendedGradients& gradients,
                             int threads);

}  // namespace mgnet
