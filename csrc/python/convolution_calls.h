// The functions of convolutions: a plan for one size of map, and its calls.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "convolution.h"
#include "python/arguments.h"

namespace {

using namespace mgnet;

constexpr char kConvolutionName[] = "mgnet_fast._native.convolution_plan";

void delete_convolution_plan(PyObject* capsule) {
  delete static_cast<ConvolutionPlan*>(PyCapsule_GetPointer(capsule, kConvolutionName));
}

PyObject* convolution_plan(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&] {
    Arguments in("convolution_plan", values, count, 12);
    // Braced lists are evaluated from left to right.
    const ConvolutionShape shape = {in.integer(), in.integer(), in.integer(), in.integer(),
                                    in.integer(), in.integer(), in.integer(), in.integer(),
                                    in.integer(), in.integer(), in.code(),    in.code() != 0};
    auto plan = std::make_unique<ConvolutionPlan>(shape);
    PyObject* capsule = PyCapsule_New(plan.get(), kConvolutionName, delete_convolution_plan);
    if (capsule) plan.release();
    return capsule;
  });
}

PyObject* convolution(PyObject*, PyObject* const* values, Py_ssize_t count) {
  return guarded([&]() -> PyObject* {
    Arguments in("convolution", values, count, 9);
    const void* found = PyCapsule_GetPointer(in.object(), kConvolutionName);
    if (!found) {
      PyErr_SetString(PyExc_TypeError, "convolution: the first argument must be a plan");
      return nullptr;
    }
    const auto numbers = [&] { return static_cast<float*>(in.pointer()); };
    const ConvolutionCall call = {numbers(), in.integer(), in.pointer(), numbers(),
                                  numbers(), numbers(),    numbers()};
    const int threads = in.code();
    {
      pybind11::gil_scoped_release release;
      static_cast<const ConvolutionPlan*>(found)->run(call, threads);
    }
    Py_RETURN_NONE;
  });
}

}  // namespace
