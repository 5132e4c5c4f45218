// Plain descriptions of the work, passed from the bindings through the dispatcher to the kernels.
// They hold no functions on purpose: this header is included by objects that are compiled with
// different instruction sets, and an inline function in it could be linked from the wrong one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mgnet {

struct AttendedMaps;  // attention/attention_pool.h
struct Attended;
struct AttendedGradients;

enum ElementType : int { kFloat32 = 0, kFloat64 = 1, kFloat16 = 2, kBFloat16 = 3, kUInt8 = 4 };
enum Padding : int { kZeros = 0, kBorder = 1 };

// Columns of one entry of a pool table: images of different sizes in one flat buffer.
enum PoolColumn : int {
  kPoolOffset = 0,
  kPoolHeight,
  kPoolWidth,
  kPoolStrideC,
  kPoolStrideH,
  kPoolStrideW,
  kPoolColumns
};

// All strides and offsets are in elements.
struct Images {
  const void* data;
  int type;
  int64_t count, channels, height, width;
  int64_t stride_n, stride_c, stride_h, stride_w;
  const int64_t* pool;    // [count, kPoolColumns] or null; height 0 and width 0: no image
  int64_t pool_elements;  // of the flat buffer; with a pool, sizes and strides above are unused
};

struct Regions {
  const void* data;
  int type;     // kFloat32 or kFloat64
  int columns;  // 3: (s, x, y), 4: (s_x, s_y, x, y)
  int64_t stride_n, stride_k;
  const int64_t* image_index;  // [count] or null: region n looks at image n
  int64_t count;
};

struct Glimpses {  // [count, channels, height, width], the output or its gradient
  void* data;
  int type;
  int64_t height, width;
  int64_t stride_n, stride_c, stride_h, stride_w;
};

struct Sampling {
  const double* scale;  // [channels] or null: value * scale + bias, before padding
  const double* bias;
  bool align_corners;
  int padding;
  bool antialias;        // filters where samples are more than a pixel apart
  bool clamp_to_region;  // not with antialias; changes nothing with align_corners
};

// A filter keeps a few rows of the image in memory, so there must be an end to their length.
enum { kLongestFilteredRow = 1 << 24 };  // in elements: width times channels

struct Job {
  Images images;
  Regions regions;
  Glimpses glimpses;
  Sampling sampling;
};

// The gradient of the images, with strides of its own. Pools have none.
struct ImageGradient {
  void* data;
  int type;
  int64_t stride_n, stride_c, stride_h, stride_w;
  const int64_t* first_of_image;  // [count + 1]: where an image's glimpses begin in glimpse_order
  const int64_t* glimpse_order;   // glimpses grouped by image, in index order within an image
};

// output = input weight^T + bias: [rows, depth] and [outs, depth] to [rows, outs], all in float32,
// each row's numbers side by side.
struct DenseLayer {
  const float* input;
  int64_t rows, depth, input_stride;
  const float* weight;
  int64_t weight_stride;
  const float* bias;  // [outs] or null
  float* output;
  int64_t output_stride;
};

enum WeightType : int { kFloat32Weights = 0, kFloat16Weights = 1, kInt8Weights = 2 };

// Outputs are computed in blocks of so many channels, whatever the instruction set.
enum { kConvolutionLanes = 16 };

// A sum is cut into chains of at most so many products.
enum { kConvolutionChain = 256 };

// Products of some pixels' inputs with weights, the same for all of them: `rows` times `depth`
// consecutive ones. More rows than one have at most kConvolutionChain products.
struct ConvolutionRun {
  int64_t first_weight, depth;  // in inputs of the block: kernel positions times channels
  int64_t rows, weight_row;     // weight_row: from one row to the next
  int64_t input_row;            // in floats
  const int32_t* input;         // [count]: where the inputs of each pixel begin, in floats
  const int32_t* pixel;         // [count]: which output pixel it is
  int64_t count;
};

// Some neighbouring blocks of output channels of some pixels.
struct ConvolutionPart {
  const ConvolutionRun* runs;
  int64_t run_count;
  bool one_each;  // every pixel is in one run
  const float* input;
  int weight_type;
  const void* weight;         // [blocks, kernel positions * channels, kConvolutionLanes]
  int64_t blocks;             // from 1 to the kernels' convolution_blocks
  int64_t depth;              // kernel positions * channels
  const float *scale, *bias;  // [blocks, kConvolutionLanes]
  int64_t pixels, lanes;      // lanes: output channels, fewer than those of the blocks at the end
  const float* other;         // as the output, or null
  float* output;              // [pixels, lanes], `stride` apart
  int64_t stride;
  bool relu;
};

// A max-pool with zero padding of maps [height, width, channels].
struct PoolShape {
  int64_t channels, height, width;  // of the input
  int64_t kernel, stride, padding;
};

// A square of outputs, from a square of inputs that is two larger. Rows and columns that it has
// beyond its map are 0, or not written.
struct WinogradTile {
  int64_t input;  // of the square's corner, in floats from the map's beginning; may be outside
  int32_t top, bottom, left, right;  // the inputs within the map: rows and columns, first and end
  int64_t output;
  int32_t rows, columns;  // of outputs within the map
};

// Some tiles of consecutive images. The transform brings each tile to (size + 2)^2 positions, where
// the convolution is a product for each position: [tiles, channels] times [channels, outputs].
struct WinogradTiles {
  int size;                   // of the square of outputs: 2 or 4
  const WinogradTile* tiles;  // of one image
  int64_t per_image, first, count;
  int64_t apart;  // positions are that many tiles apart, in `transformed` and in the sums
  int64_t channels;
  int64_t input_image, input_row;    // floats of an input
  int64_t output_image, output_row;  // and of an output
  const float* input;
  float* transformed;  // [(size + 2)^2, apart, channels]
};

// Number of sums that the gradient of one region is made of: s_x, s_y, x, y.
enum { kRegionSums = 4 };

// One instruction set's kernels; they see no job with a pool. Work is cut into units that do not
// depend on each other; a unit is always computed the same way, so results do not depend on how
// units are spread over threads.
struct Kernels {
  const char* name;
  // Units of one glimpse, forward and backward to the region.
  int64_t (*units_per_glimpse)(const Job&);
  // Bytes of scratch memory, aligned to 64, that one thread needs.
  size_t (*scratch_bytes)(const Job&);
  void (*forward)(const Job&, int64_t first_unit, int64_t last_unit, void* scratch);
  // sums: double[units][kRegionSums], the unit's share of the gradient of its region.
  void (*backward_region)(const Job&, int64_t first_unit, int64_t last_unit, double* sums,
                          void* scratch);
  // Units are planes: image * channels + channel.
  size_t (*image_scratch_bytes)(const Job&, const ImageGradient&);
  void (*backward_image)(const Job&, const ImageGradient&, int64_t first_unit, int64_t last_unit,
                         void* scratch);
  void (*dense)(const DenseLayer&, int64_t first_out, int64_t last_out);
  int64_t convolution_blocks;  // that one part may have
  size_t (*convolution_scratch_bytes)(int64_t pixels);
  void (*convolve)(const ConvolutionPart&, void* scratch);
  // Writes row y of the pooled map.
  void (*max_pool_row)(const PoolShape&, const float* map, int64_t y, float* output);
  // first, last: of the tiles.
  void (*winograd_transform)(const WinogradTiles&, int64_t first, int64_t last);
  // The part has one run for each position, from `transformed`; its pixels are positions times
  // `apart`. Its output and `other` begin with the map of the first image of all.
  void (*winograd_convolve)(const WinogradTiles&, const ConvolutionPart&, void* scratch);
  void (*attention)(const AttendedMaps&, const Attended&, int64_t map);
  // slopes: scratch memory for as many floats as a map has positions.
  void (*attention_backward)(const AttendedMaps&, const AttendedGradients&, int64_t map,
                             float* slopes);
};

}  // namespace mgnet
