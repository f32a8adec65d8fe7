/* Answers PyTorch's queries of a device as an H100 does (SXM, 80 GB). Kernels do not run: a launch
   does nothing. Preloaded by kernels_compiler.py, as libcuda.so.1 and in front of libcudart.so.13. */
#include <driver_types.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY 85899345920UL
#define API cudaError_t

API cudaDriverGetVersion(int *version) { return *version = 13000, cudaSuccess; }
API cudaGetDeviceCount(int *count) { return *count = 1, cudaSuccess; }
API cudaGetDevice(int *device) { return *device = 0, cudaSuccess; }
API cudaSetDevice(int device) { return cudaSuccess; }
API cudaGetLastError(void) { return cudaSuccess; }
API cudaPeekAtLastError(void) { return cudaSuccess; }
API cudaStreamSynchronize(cudaStream_t stream) { return cudaSuccess; }
API cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) { return cudaSuccess; }
API cudaLaunchKernelExC(void) { return cudaSuccess; }
API __cudaLaunchKernel(void) { return cudaSuccess; }
API cudaFree(void *memory) { return free(memory), cudaSuccess; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
  *flags = 0, *active = 1;
  return 0;
}

API cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
  return *status = cudaStreamCaptureStatusNone, cudaSuccess;
}

API cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  return *least = 0, *greatest = -5, cudaSuccess;
}

API cudaMalloc(void **memory, size_t bytes) {
  *memory = aligned_alloc(512, (bytes + 511) / 512 * 512);
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}

API cudaMemGetInfo(size_t *available, size_t *total) {
  return *available = *total = MEMORY, cudaSuccess;
}

API cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t on) {
  return memcpy(to, from, bytes), cudaSuccess;
}

API cudaGetDeviceProperties(struct cudaDeviceProp *found, int device) {
  memset(found, 0, sizeof *found);
  strcpy(found->name, "H100 (pretended)");
  found->major = 9;
  found->warpSize = 32;
  found->totalGlobalMem = MEMORY;
  found->l2CacheSize = 52428800;
  found->multiProcessorCount = 132;
  found->maxThreadsPerBlock = found->maxThreadsDim[0] = found->maxThreadsDim[1] = 1024;
  found->maxThreadsDim[2] = 64;
  found->maxGridSize[0] = 2147483647;
  found->maxGridSize[1] = found->maxGridSize[2] = 65535;
  found->maxThreadsPerMultiProcessor = 2048;
  found->regsPerBlock = found->regsPerMultiprocessor = 65536;
  found->sharedMemPerBlock = 49152;
  found->sharedMemPerBlockOptin = 232448;
  found->sharedMemPerMultiprocessor = 233472;
  return cudaSuccess;
}
