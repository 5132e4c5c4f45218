#include "one_job_each.h"

#include <stdexcept>
#include <string>

namespace mgnet {
namespace {

int64_t element_bytes(int type) {
  return type == kFloat64 ? 8 : type == kFloat32 ? 4 : type == kUInt8 ? 1 : 2;
}

struct Entry {
  int64_t value[kPoolColumns];
  int64_t operator[](int column) const { return value[column]; }
};

// Whether all pixels are below `elements`. Written with divisions: a product could overflow.
bool lies_within(const Entry& entry, int64_t channels, int64_t elements) {
  if (entry[kPoolOffset] < 0 || entry[kPoolOffset] >= elements) return false;
  int64_t left = elements - 1 - entry[kPoolOffset];
  const int64_t counts[3] = {channels, entry[kPoolHeight], entry[kPoolWidth]};
  for (int axis = 0; axis < 3; ++axis) {
    const int64_t stride = entry[kPoolStrideC + axis], steps = counts[axis] - 1;
    if (stride < 0) return false;
    if (stride == 0 || steps <= 0) continue;
    if (steps > left / stride) return false;
    left -= steps * stride;
  }
  return true;
}

std::string text_of(const Entry& entry) {
  std::string text;
  for (int k = 0; k < kPoolColumns; ++k) text += (k ? ", " : "") + std::to_string(entry[k]);
  return text;
}

const void* moved(const void* data, int type, int64_t elements) {
  return static_cast<const char*>(data) + elements * element_bytes(type);
}

void check_entry(const Job& job, const Entry& entry, int64_t image, int64_t n) {
  const std::string name = "image " + std::to_string(image) + " of the pool";
  const int64_t height = entry[kPoolHeight], width = entry[kPoolWidth];
  if (height == 0 && width == 0) {
    throw std::invalid_argument("image_index must name images that the pool holds, got " +
                                std::to_string(image) + " at position " + std::to_string(n) +
                                ", an empty place");
  }
  if (height < 1 || width < 1 || height >= INT32_MAX || width >= INT32_MAX) {
    throw std::invalid_argument(name + " must have at least one pixel, got height " +
                                std::to_string(height) + " and width " + std::to_string(width));
  }
  if (!lies_within(entry, job.images.channels, job.images.pool_elements)) {
    throw std::invalid_argument(
        name + " must lie within the buffer of " + std::to_string(job.images.pool_elements) +
        " elements, got (offset, height, width, strides) = (" + text_of(entry) + ")");
  }
}

void take_image_of_pool(const Job& job, int64_t image, int64_t n, Images& one) {
  Entry entry;
  for (int k = 0; k < kPoolColumns; ++k) {
    entry.value[k] = job.images.pool[image * kPoolColumns + k];
  }
  check_entry(job, entry, image, n);
  one.data = moved(one.data, one.type, entry[kPoolOffset]);
  one.height = entry[kPoolHeight];
  one.width = entry[kPoolWidth];
  one.stride_c = entry[kPoolStrideC];
  one.stride_h = entry[kPoolStrideH];
  one.stride_w = entry[kPoolStrideW];
  one.pool = nullptr;
}

}  // namespace

void check_filtered_row(const Job& one) {
  const int64_t elements = one.images.width * one.images.channels;
  if (one.sampling.antialias && elements > kLongestFilteredRow) {
    throw std::invalid_argument("image must have at most " + std::to_string(kLongestFilteredRow) +
                                " elements in a row to be antialiased, got " +
                                std::to_string(elements));
  }
}

bool needs_one_job_each(const Job& job) { return job.images.pool || job.sampling.antialias; }

std::vector<Job> one_job_each(const Job& job) {
  std::vector<Job> each(static_cast<size_t>(job.regions.count), job);
  for (int64_t n = 0; n < job.regions.count; ++n) {
    const int64_t image = job.regions.image_index ? job.regions.image_index[n] : n;
    Job& one = each[n];
    if (job.images.pool) {
      take_image_of_pool(job, image, n, one.images);
    } else {
      one.images.data = moved(one.images.data, one.images.type, image * one.images.stride_n);
    }
    check_filtered_row(one);
    one.images.count = 1;
    one.images.stride_n = 0;
    one.regions.data = moved(job.regions.data, job.regions.type, n * job.regions.stride_n);
    one.regions.image_index = nullptr;  // the count stays the call's: it tells how much is read
    const void* glimpse = moved(job.glimpses.data, job.glimpses.type, n * job.glimpses.stride_n);
    one.glimpses.data = const_cast<void*>(glimpse);
  }
  return each;
}

}  // namespace mgnet
