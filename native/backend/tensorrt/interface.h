/* TensorRT as the rest of the program sees it: one table of functions in plain C. mipha_tensorrt.so implements it over NvInfer and the CUDA
 * runtime (shim.cc, compiled on the device); the tests implement it over the FP32 reference. Nothing here throws, and no type of NVIDIA's crosses it.
 *
 * Functions return MIPHA_TRT_OK or what went wrong; error() then says it in words. One thread calls at a time. Pointers named `device` are
 * memory of allocate(); on Jetson that is the same DRAM. copy() and run() are queued on one stream in order; wait() ends them. */
#ifndef MIPHA_TRT_INTERFACE_H
#define MIPHA_TRT_INTERFACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MIPHA_TRT_VERSION 1 /* of this interface; a table of another version is refused */
#define MIPHA_TRT_DIMS 4    /* most dimensions of an input or output */

typedef enum {
  MIPHA_TRT_OK = 0,
  MIPHA_TRT_UNAVAILABLE = 1, /* a library or the GPU is missing, or its version is not the one this was compiled for */
  MIPHA_TRT_MEMORY = 2,      /* not enough memory; needed bytes are in the words if they are known */
  MIPHA_TRT_DEVICE = 3,      /* the GPU or TensorRT failed while running; open again */
  MIPHA_TRT_BUILD = 4,       /* the graph was refused or no engine could be made of it */
  MIPHA_TRT_PLAN = 5,        /* the plan is damaged, or was built by another TensorRT or for another GPU */
  MIPHA_TRT_CANCELLED = 6,   /* build(): the callback said so */
  MIPHA_TRT_ARGUMENT = 7,    /* a name, shape or type that the engine does not have */
  MIPHA_TRT_FILE = 8         /* build(): the plan cannot be written */
} mipha_trt_status;

typedef enum { MIPHA_TRT_F32 = 0, MIPHA_TRT_F16 = 1, MIPHA_TRT_I32 = 2, MIPHA_TRT_I8 = 3 } mipha_trt_type;
typedef enum { MIPHA_TRT_TO_DEVICE = 0, MIPHA_TRT_FROM_DEVICE = 1, MIPHA_TRT_ON_DEVICE = 2 } mipha_trt_direction;

typedef struct mipha_trt mipha_trt;               /* the libraries, one stream */
typedef struct mipha_trt_engine mipha_trt_engine; /* a plan in memory, one execution context for each of its profiles */

typedef struct {
  char tensorrt[32];          /* version of the library that runs, "10.3.0.30" */
  char headers[32];           /* version this was compiled against */
  char gpu[128];              /* "Orin" */
  int32_t compute_capability; /* 87: major * 10 + minor */
  int32_t cuda_runtime;       /* 12060: as cudaRuntimeGetVersion says it */
  int32_t cuda_driver;
  int32_t integrated; /* 1: shares the memory of the CPU, as on Jetson */
  int64_t total_bytes, free_bytes;
} mipha_trt_facts;

/* What one input may be in one profile. A static input has the same three. */
typedef struct {
  const char* name;
  int32_t dims;
  int64_t least[MIPHA_TRT_DIMS], usual[MIPHA_TRT_DIMS], most[MIPHA_TRT_DIMS];
} mipha_trt_range;

typedef struct {
  const mipha_trt_range* ranges;
  int32_t count;
} mipha_trt_profile;

typedef struct {
  const char* graph;        /* path of an .onnx file; its external data lies beside it */
  const char* plan;         /* path to write. Written in place: the caller gives a temporary name and renames it */
  const char* timing_cache; /* path, read if it is there and written back; null: none */
  const char* switches;     /* value of the environment variable __LUNOWUD during the build; null: as it is */
  int64_t workspace_bytes;  /* most that a tactic may use */
  int32_t level;            /* optimization level 0..5 */
  const mipha_trt_profile* profiles;
  int32_t profile_count;
} mipha_trt_build;

/* Called often with a fraction of 0 to 1 and what is being done; a value other than 0 ends the build. May come from any thread. */
typedef int (*mipha_trt_progress)(void* user, double fraction, const char* what);

typedef struct {
  char name[64];
  int32_t input; /* 1: input, 0: output */
  mipha_trt_type type;
  int32_t dims;
  int64_t least[MIPHA_TRT_DIMS], most[MIPHA_TRT_DIMS]; /* inputs: of the profile asked for; outputs: −1 where it depends on inputs */
} mipha_trt_tensor;

typedef struct {
  int32_t version; /* MIPHA_TRT_VERSION */

  /* `error` gets the words of a failure. */
  mipha_trt_status (*open)(mipha_trt** out, char* error, size_t error_bytes);
  void (*close)(mipha_trt* trt);
  const char* (*error)(const mipha_trt* trt); /* of the last call that failed, everything TensorRT recorded included; never null */
  mipha_trt_status (*facts)(mipha_trt* trt, mipha_trt_facts* out);

  mipha_trt_status (*build)(mipha_trt* trt, const mipha_trt_build* what, mipha_trt_progress progress, void* user);

  /* The bytes of the plan may go as soon as load() returns. */
  mipha_trt_status (*load)(mipha_trt* trt, const void* plan, size_t bytes, mipha_trt_engine** out);
  void (*unload)(mipha_trt_engine* engine);
  int32_t (*profiles)(const mipha_trt_engine* engine);
  /* Inputs first, then outputs, in the order of the graph. MIPHA_TRT_ARGUMENT: no tensor of that index. */
  mipha_trt_status (*describe)(mipha_trt_engine* engine, int32_t profile, int32_t index, mipha_trt_tensor* out);
  /* Memory for activations that run() needs, largest over the profiles; engines that never run at once may share it. */
  int64_t (*scratch_bytes)(const mipha_trt_engine* engine);
  /* Bytes that the weights of this engine hold on the device. */
  int64_t (*weight_bytes)(const mipha_trt_engine* engine);

  /* An input with its shape, or an output (dims null). `device` is aligned to 256 bytes; null only where the shape is empty. */
  mipha_trt_status (*bind)(mipha_trt_engine* engine, int32_t profile, const char* name, const int64_t* dims, int32_t count, void* device);
  mipha_trt_status (*run)(mipha_trt_engine* engine, int32_t profile, void* scratch, int64_t scratch_bytes);

  mipha_trt_status (*allocate)(mipha_trt* trt, size_t bytes, void** device); /* aligned to 256 bytes, zeroed */
  void (*release)(mipha_trt* trt, void* device);
  mipha_trt_status (*copy)(mipha_trt* trt, void* to, const void* from, size_t bytes, mipha_trt_direction direction); /* must not overlap */
  mipha_trt_status (*wait)(mipha_trt* trt);
} mipha_trt_table;

/* The one symbol that mipha_tensorrt.so exports. */
const mipha_trt_table* mipha_trt_interface(void);

#ifdef __cplusplus
}
#endif

#endif
