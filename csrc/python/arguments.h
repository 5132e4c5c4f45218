// Reading the numbers of a call from Python: the groups at the head of bindings.cpp.
#pragma once

#include <pybind11/pybind11.h>

#include <new>
#include <stdexcept>

#include "dispatch.h"

namespace {

using namespace mgnet;

struct PythonErrorSet {};

class Arguments {
 public:
  Arguments(const char* function, PyObject* const* values, Py_ssize_t count, Py_ssize_t expected)
      : next_(values) {
    if (count != expected) {
      PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, got %zd", function, expected, count);
      throw PythonErrorSet{};
    }
  }

  int64_t integer() {
    const long long value = PyLong_AsLongLong(*next_++);
    if (value == -1 && PyErr_Occurred()) throw PythonErrorSet{};
    return value;
  }
  int code() { return static_cast<int>(integer()); }
  void* pointer() { return reinterpret_cast<void*>(static_cast<intptr_t>(integer())); }
  double real() {
    const double value = PyFloat_AsDouble(*next_++);
    if (value == -1.0 && PyErr_Occurred()) throw PythonErrorSet{};
    return value;
  }

  // Braced lists are evaluated from left to right.
  Images images() {
    Images images{pointer(),
                  code(),
                  integer(),
                  integer(),
                  integer(),
                  integer(),
                  integer(),
                  integer(),
                  integer(),
                  integer(),
                  static_cast<const int64_t*>(pointer()),
                  0};
    if (images.pool) images.pool_elements = images.width;
    return images;
  }
  Regions regions() {
    return {pointer(), code(), code(), integer(), integer(), static_cast<const int64_t*>(pointer()),
            integer()};
  }
  Logits logits() { return {pointer(), code(), integer(), integer(), real(), real()}; }
  Glimpses glimpses() {
    return {pointer(), code(), integer(), integer(), integer(), integer(), integer(), integer()};
  }
  Sampling sampling() {
    return {static_cast<const double*>(pointer()), static_cast<const double*>(pointer()),
            code() != 0, code()};
  }

 private:
  PyObject* const* next_;
};

template <class Body>
PyObject* guarded(const Body& body) {
  try {
    body();
    Py_RETURN_NONE;
  } catch (const PythonErrorSet&) {
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyCFunction as_method(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace
