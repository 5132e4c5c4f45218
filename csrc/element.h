// Loading and storing single elements of every type, in plain integer arithmetic.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/isa.h"
#include "job.h"

namespace mgnet {
namespace MGNET_ISA {

MGNET_INLINE uint32_t float_bits(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

MGNET_INLINE float float_from_bits(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

MGNET_INLINE float half_to_float(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  // Moving the exponent by a product also makes subnormal halves right.
  const uint32_t finite = float_bits(float_from_bits(magnitude << 13) * 0x1p112f);
  const uint32_t special = 0x7f800000u | (magnitude << 13);
  return float_from_bits(sign | (magnitude >= 0x7c00u ? special : finite));
}

MGNET_INLINE uint16_t float_to_half(float value) {
  const uint32_t bits = float_bits(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x47800000u) {  // 65536 and beyond
    return (uint16_t)(sign | (magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u));
  }
  if (magnitude < 0x38800000u) {  // subnormal half: the addition rounds at its last bit
    const float rounded = float_from_bits(magnitude) + 0.5f;
    return (uint16_t)(sign | (float_bits(rounded) - 0x3f000000u));
  }
  magnitude += 0xc8000fffu + ((magnitude >> 13) & 1u);  // rebias by -112, round to nearest even
  return (uint16_t)(sign | (magnitude >> 13));
}

MGNET_INLINE float bfloat_to_float(uint16_t value) {
  return float_from_bits((uint32_t)value << 16);
}

MGNET_INLINE uint16_t float_to_bfloat(float value) {
  const uint32_t bits = float_bits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40u);
  return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// One struct a type: Stored as it lies in memory, Real as it is computed with.
struct Float32 {
  using Stored = float;
  using Real = float;
  MGNET_INLINE Real get(Stored v) { return v; }
  MGNET_INLINE Stored put(double v) { return (float)v; }
};
struct Float64 {
  using Stored = double;
  using Real = double;
  MGNET_INLINE Real get(Stored v) { return v; }
  MGNET_INLINE Stored put(double v) { return v; }
};
struct Float16 {
  using Stored = uint16_t;
  using Real = float;
  MGNET_INLINE Real get(Stored v) { return half_to_float(v); }
  MGNET_INLINE Stored put(double v) { return float_to_half((float)v); }
};
struct BFloat16 {
  using Stored = uint16_t;
  using Real = float;
  MGNET_INLINE Real get(Stored v) { return bfloat_to_float(v); }
  MGNET_INLINE Stored put(double v) { return float_to_bfloat((float)v); }
};
struct UInt8 {
  using Stored = uint8_t;
  using Real = float;
  MGNET_INLINE Real get(Stored v) { return (float)v; }
};

MGNET_INLINE int64_t element_bytes(int type) {
  return type == kFloat64 ? 8 : type == kFloat32 ? 4 : type == kUInt8 ? 1 : 2;
}

template <class Element, class Real>
MGNET_INLINE void store_row_as(const Real* row, void* out, int64_t offset, int64_t stride,
                               int64_t count) {
  typename Element::Stored* to = (typename Element::Stored*)out + offset;
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) to[i] = Element::put(row[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) to[i * stride] = Element::put(row[i]);
  }
}

// Writes a computed row into the caller's tensor, at any stride, rounding to its type. (Doubles
// reach the 16-bit types by way of float, so those may be rounded twice.)
template <class Real>
static void store_row(int type, const Real* row, void* out, int64_t offset, int64_t stride,
                      int64_t count) {
  switch (type) {
    case kFloat32:
      return store_row_as<Float32>(row, out, offset, stride, count);
    case kFloat64:
      return store_row_as<Float64>(row, out, offset, stride, count);
    case kFloat16:
      return store_row_as<Float16>(row, out, offset, stride, count);
    default:
      return store_row_as<BFloat16>(row, out, offset, stride, count);
  }
}

template <class Element, class Real>
MGNET_INLINE void load_row_as(Real* row, const void* in, int64_t offset, int64_t stride,
                              int64_t count) {
  const typename Element::Stored* from = (const typename Element::Stored*)in + offset;
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) row[i] = (Real)Element::get(from[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) row[i] = (Real)Element::get(from[i * stride]);
  }
}

template <class Real>
static void load_row(int type, Real* row, const void* in, int64_t offset, int64_t stride,
                     int64_t count) {
  switch (type) {
    case kFloat32:
      return load_row_as<Float32>(row, in, offset, stride, count);
    case kFloat64:
      return load_row_as<Float64>(row, in, offset, stride, count);
    case kFloat16:
      return load_row_as<Float16>(row, in, offset, stride, count);
    default:
      return load_row_as<BFloat16>(row, in, offset, stride, count);
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
