// Maps the code of an element type to the type. Host code of the launches and their tests.
#pragma once

#include "element.h"
#include "gpu/calls.h"

namespace mgnet {
namespace {

// Calls body(element) with an element of the type.
template <class Body>
void with_element(int type, const Body& body) {
  switch (type) {
    case kFloat32:
      return body(gpu::Float32{});
    case kFloat64:
      return body(gpu::Float64{});
    case kFloat16:
      return body(gpu::Float16{});
    case kBFloat16:
      return body(gpu::BFloat16{});
    default:
      return body(gpu::UInt8{});
  }
}

}  // namespace
}  // namespace mgnet
