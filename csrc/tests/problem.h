// Random glimpse problems in buffers of exactly the size they need, and their answers in plain
// double arithmetic, written without the kernels' tables.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "dispatch.h"

namespace mgnet_test {

using namespace mgnet;

inline size_t bytes_of(int type) {
  return type == kFloat64 ? 8 : type == kFloat32 ? 4 : type == kUInt8 ? 1 : 2;
}

inline double half_value(uint16_t h) {
  const int exponent = (h >> 10) & 31, mantissa = h & 1023;
  const double magnitude = exponent == 0    ? std::ldexp(mantissa, -24)
                           : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                            : std::ldexp(1024 + mantissa, exponent - 25);
  return h & 0x8000 ? -magnitude : magnitude;
}

inline double bfloat_value(uint16_t b) {
  const uint32_t bits = static_cast<uint32_t>(b) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

// A tensor on the heap without a spare byte, so that a sanitizer sees every wrong access.
struct Buffer {
  int type = kFloat32;
  int64_t elements = 0;
  std::unique_ptr<char[]> bytes;

  Buffer() = default;
  Buffer(int type_, int64_t elements_)
      : type(type_), elements(elements_), bytes(new char[elements_ * bytes_of(type_)]) {}
  void* data() { return bytes.get(); }

  double get(int64_t i) const {
    const char* at = bytes.get() + i * bytes_of(type);
    switch (type) {
      case kFloat32:
        return *reinterpret_cast<const float*>(at);
      case kFloat64:
        return *reinterpret_cast<const double*>(at);
      case kFloat16:
        return half_value(*reinterpret_cast<const uint16_t*>(at));
      case kBFloat16:
        return bfloat_value(*reinterpret_cast<const uint16_t*>(at));
      default:
        return *reinterpret_cast<const uint8_t*>(at);
    }
  }
  void set(int64_t i, double value) {
    char* at = bytes.get() + i * bytes_of(type);
    if (type == kFloat32) {
      *reinterpret_cast<float*>(at) = static_cast<float>(value);
    } else if (type == kFloat64) {
      *reinterpret_cast<double*>(at) = value;
    } else if (type == kUInt8) {
      *reinterpret_cast<uint8_t*>(at) = static_cast<uint8_t>(std::fabs(value) * 40);
    } else if (type == kBFloat16) {
      const float f = static_cast<float>(value);
      uint32_t bits;
      std::memcpy(&bits, &f, 4);
      *reinterpret_cast<uint16_t*>(at) = static_cast<uint16_t>(bits >> 16);
    } else {  // multiples of 1/256 below 4 are exact halves; only small values are needed
      const int steps = static_cast<int>(std::min(std::fabs(value), 3.9) * 256);
      int exponent = 0;
      std::frexp(steps, &exponent);
      const int mantissa = exponent ? (steps << (11 - exponent)) & 1023 : 0;
      const int biased = exponent ? exponent + 6 : 0;  // 2^(exponent - 1 - 8), bias 15
      *reinterpret_cast<uint16_t*>(at) =
          static_cast<uint16_t>((value < 0 ? 0x8000 : 0) | (biased << 10) | mantissa);
    }
  }
};

struct Random {
  std::mt19937_64 engine;
  explicit Random(uint64_t seed) : engine(seed) {}
  int64_t integer(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine);
  }
  double real(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(engine);
  }
  bool chance(double p) { return real(0, 1) < p; }
};

// Strides of a (channels, height, width) tensor in one of the layouts people have.
struct Strides {
  int64_t c, h, w, span;  // span: elements from the first to one past the last
};

inline Strides random_strides(Random& random, int64_t channels, int64_t height, int64_t width,
                              bool may_repeat) {
  Strides s{};
  const int64_t gap = random.chance(0.3) ? random.integer(1, 5) : 0;
  switch (random.integer(0, may_repeat ? 5 : 3)) {
    case 0:
      s = {height * (width + gap), width + gap, 1, 0};
      break;
    case 1:
      s = {1, channels * width + gap, channels, 0};
      break;
    case 2:
      s = {height * width + gap, 1, height, 0};
      break;
    case 3:
      s = {2 * height * width, 2 * width, 2, 0};
      break;
    case 4:
      s = {0, width, 1, 0};
      break;  // one channel seen many times
    default:
      s = {random.integer(0, 3), random.integer(0, 3), random.integer(0, 3), 0};
      break;
  }
  s.span = channels && height && width
               ? (channels - 1) * s.c + (height - 1) * s.h + (width - 1) * s.w + 1
               : 0;
  return s;
}

struct Problem {
  Buffer image, region, glimpse, gradient, image_gradient;
  std::vector<int64_t> index, pool;
  std::vector<double> scale, bias;
  Strides gradient_strides{};
  Job job{};           // glimpses: the output
  Job gradient_job{};  // glimpses: the incoming gradient
  ImageGradient gradient_of_image{};
  std::string text;
};

inline double random_coordinate(Random& random, double typical, bool wild) {
  if (!wild) return random.real(-typical, typical);
  const double odd[] = {0.0,  1.0,   -1.0,  5.0, 1e9,      -1e30,
                        3e38, -3e38, 1e-30, NAN, INFINITY, -INFINITY};
  return odd[random.integer(0, 11)];
}

// Builds a problem; `wild` puts odd numbers into regions and pixels.
inline void make_problem(Random& random, bool wild, Problem& p) {
  Images& images = p.job.images;
  images.type = static_cast<int>(random.integer(0, 4));
  images.count = random.integer(1, 3);
  images.channels = random.chance(0.5) ? 3 : random.integer(1, 5);
  const int64_t largest = random.chance(0.2) ? 140 : random.chance(0.5) ? 40 : 12;
  const bool pooled = random.chance(0.15);
  int64_t elements = 0;
  if (pooled) {
    for (int64_t b = 0; b < images.count; ++b) {
      const int64_t h = random.integer(1, largest), w = random.integer(1, largest);
      const Strides s = random_strides(random, images.channels, h, w, false);
      for (int64_t value : {elements, h, w, s.c, s.h, s.w}) p.pool.push_back(value);
      elements += s.span;
    }
    images.pool = p.pool.data();
    images.pool_elements = elements;
  } else {
    images.height = random.integer(1, largest);
    images.width = random.integer(1, largest);
    const Strides s = random_strides(random, images.channels, images.height, images.width, true);
    images.stride_c = s.c, images.stride_h = s.h, images.stride_w = s.w;
    images.stride_n = random.chance(0.1) ? 0 : s.span + (random.chance(0.2) ? 3 : 0);
    elements = (images.count - 1) * images.stride_n + s.span;
  }
  p.image = Buffer(images.type, elements);
  for (int64_t i = 0; i < elements; ++i) {
    p.image.set(
        i, wild && images.type != kUInt8 && random.chance(0.01) ? INFINITY : random.real(-3, 3));
  }
  images.data = p.image.data();

  Regions& regions = p.job.regions;
  regions.type = random.chance(0.3) ? kFloat64 : kFloat32;
  regions.columns = random.chance(0.5) ? 3 : 4;
  regions.count = images.count;
  if (random.chance(0.6)) {
    regions.count = random.integer(0, 5);
    for (int64_t n = 0; n < regions.count; ++n) {
      p.index.push_back(random.integer(0, images.count - 1));
    }
    regions.image_index = p.index.data();
  }
  regions.stride_k = random.chance(0.8) ? 1 : random.integer(1, 2);
  regions.stride_n = regions.columns * regions.stride_k + (random.chance(0.2) ? 1 : 0);
  p.region = Buffer(regions.type, std::max<int64_t>(1, regions.count) * regions.stride_n);
  for (int64_t i = 0; i < p.region.elements; ++i) {
    p.region.set(i, random_coordinate(random, 1.2, wild && random.chance(0.2)));
  }
  regions.data = p.region.data();

  Glimpses& glimpses = p.job.glimpses;
  glimpses.type = static_cast<int>(random.integer(0, 3));
  glimpses.height = random.chance(0.05) ? 0 : random.integer(1, random.chance(0.2) ? 70 : 20);
  glimpses.width = random.chance(0.05) ? 0 : random.integer(1, random.chance(0.2) ? 70 : 40);
  auto place = [&](Glimpses& g, Buffer& buffer) {
    const Strides s = random_strides(random, images.channels, g.height, g.width, false);
    g.stride_c = s.c, g.stride_h = s.h, g.stride_w = s.w, g.stride_n = s.span;
    buffer = Buffer(g.type, s.span * regions.count);
    g.data = buffer.data();
  };
  p.gradient_job = p.job;
  place(glimpses, p.glimpse);
  Glimpses& incoming = p.gradient_job.glimpses;
  incoming.type = static_cast<int>(random.integer(0, 3));
  place(incoming, p.gradient);
  for (int64_t i = 0; i < p.gradient.elements; ++i) p.gradient.set(i, random.real(-2, 2));

  Sampling sampling{};
  sampling.align_corners = random.chance(0.5);
  sampling.padding = random.chance(0.5) ? kBorder : kZeros;
  sampling.antialias = random.chance(0.15);  // which is slow to compute by the definition
  sampling.clamp_to_region = !sampling.antialias && random.chance(0.3);
  if (random.chance(0.4)) {
    for (int64_t c = 0; c < images.channels; ++c) {
      p.scale.push_back(random.real(0.1, 1));
      p.bias.push_back(random.real(-1, 1));
    }
    sampling.scale = p.scale.data(), sampling.bias = p.bias.data();
  }
  p.job.sampling = p.gradient_job.sampling = sampling;

  ImageGradient& g = p.gradient_of_image;
  g.type = static_cast<int>(random.integer(0, 3));
  if (!pooled) {  // pools have no gradient
    const Strides s = random_strides(random, images.channels, images.height, images.width, false);
    g.stride_n = s.span, g.stride_c = s.c, g.stride_h = s.h, g.stride_w = s.w;
    p.image_gradient = Buffer(g.type, images.count * s.span);
  }
  g.data = p.image_gradient.data();

  p.text = "image type " + std::to_string(images.type) + " [" + std::to_string(images.count) + "," +
           std::to_string(images.channels) + "," + std::to_string(images.height) + "," +
           std::to_string(images.width) + "] strides " + std::to_string(images.stride_c) + "," +
           std::to_string(images.stride_h) + "," + std::to_string(images.stride_w) +
           (pooled ? " pooled" : "") + ", glimpses type " + std::to_string(glimpses.type) + " " +
           std::to_string(glimpses.height) + "x" + std::to_string(glimpses.width) + " stride_w " +
           std::to_string(glimpses.stride_w) + ", align " + std::to_string(sampling.align_corners) +
           ", padding " + std::to_string(sampling.padding) + ", antialias " +
           std::to_string(sampling.antialias) + ", clamped " +
           std::to_string(sampling.clamp_to_region) + ", normalised " +
           std::to_string(sampling.scale != nullptr);
}

}  // namespace mgnet_test
