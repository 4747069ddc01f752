// The kernels, compiled for the CPU from the source that nvcc compiles.
#include "cuda_language.h"
#include "vbn.cu"

#define DECLARE(kernel) static const emulated::Declaration<&kernel> declared_##kernel(#kernel);
#define DECLARE_BATCH_KERNELS(type) \
  DECLARE(vbn_sums_##type) \
  DECLARE(vbn_gradient_sums_##type) \
  DECLARE(vbn_normalize_##type) \
  DECLARE(vbn_differentiate_##type) \
  DECLARE(vbn_differentiate_twice_##type) \
  DECLARE(vbn_masked_sums_##type) \
  DECLARE(vbn_masked_gradient_sums_##type) \
  DECLARE(vbn_masked_normalize_##type) \
  DECLARE(vbn_masked_differentiate_##type) \
  DECLARE(vbn_masked_differentiate_twice_##type)
#define DECLARE_TILE_KERNELS(type) \
  DECLARE(vbn_forward_##type) \
  DECLARE(vbn_backward_##type) \
  DECLARE(vbn_forward_together_##type) \
  DECLARE(vbn_backward_together_##type)
#define DECLARE_PARAMETER_KERNELS(type) \
  DECLARE(vbn_mix_forward_##type) \
  DECLARE(vbn_mix_backward_##type) \
  DECLARE(vbn_sum_groups_##type)

#define DECLARE_COLUMN_KERNELS(type) \
  DECLARE(vbn_column_sums_##type) \
  DECLARE(vbn_column_gradient_sums_##type)

DECLARE_BATCH_KERNELS(float32)
DECLARE_BATCH_KERNELS(float64)
DECLARE_BATCH_KERNELS(float16)
DECLARE_BATCH_KERNELS(bfloat16)
DECLARE_TILE_KERNELS(float32)
DECLARE_TILE_KERNELS(float64)
DECLARE_TILE_KERNELS(float16)
DECLARE_TILE_KERNELS(bfloat16)
DECLARE_COLUMN_KERNELS(float32)
DECLARE_COLUMN_KERNELS(float16)
DECLARE_COLUMN_KERNELS(bfloat16)
DECLARE_PARAMETER_KERNELS(float32)
DECLARE_PARAMETER_KERNELS(float64)
DECLARE(vbn_mask)
DECLARE(vbn_reference_lines)
DECLARE(vbn_lines)
