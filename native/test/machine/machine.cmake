# Kernels without a GPU: built where nvcc is, one test program and one ctest for each target that it can make PTX for.
if(CMAKE_CROSSCOMPILING)
  return()
endif()
find_program(MIPHA_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
if(MIPHA_NVCC)
  execute_process(COMMAND ${MIPHA_NVCC} --version OUTPUT_VARIABLE version ERROR_VARIABLE ignored)
  string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" version "${version}")
  set(version "${CMAKE_MATCH_1}")
endif()
if(NOT MIPHA_NVCC OR version VERSION_LESS 12.6)
  message(STATUS "CUDA kernels are not tested (machine_test): nvcc 12.6 or later is missing. Install the CUDA toolkit; CUDA_HOME names its folder.")
  return()
endif()

set(targets 87 90)
if(version VERSION_GREATER_EQUAL 13.0)
  list(APPEND targets 110)
else()
  message(STATUS "CUDA kernels are not tested as PTX for target 110: nvcc 13.0 or later makes it, this is ${version}")
endif()
set(MIPHA_CUDA_TARGETS "" CACHE STRING "Fewer targets, e.g. 87, to compile sooner while kernels change")
if(MIPHA_CUDA_TARGETS)
  set(targets ${MIPHA_CUDA_TARGETS})
endif()
set(nvcc_flags -std=c++17 -O3 -lineinfo --no-compress -cudart none -ccbin ${CMAKE_CXX_COMPILER} -Xcompiler -fPIC)
foreach(target IN LISTS targets)
  list(APPEND nvcc_flags -gencode arch=compute_${target},code=compute_${target})
endforeach()
get_filename_component(cuda ${MIPHA_NVCC} REALPATH)
get_filename_component(cuda ${cuda}/../../include ABSOLUTE)
if(NOT EXISTS ${cuda}/cuda_runtime_api.h) # nvcc is a script elsewhere
  find_path(MIPHA_CUDA_INCLUDE cuda_runtime_api.h HINTS $ENV{CUDA_HOME}/include /usr/local/cuda/include REQUIRED)
  set(cuda ${MIPHA_CUDA_INCLUDE})
endif()

# mipha_cuda_objects(OUT SOURCE...): compiles .cu files with nvcc_flags into nvcc_folder; here the objects hold PTX of every target
set(nvcc_folder cuda)
function(mipha_cuda_objects out)
  set(objects)
  foreach(source IN LISTS ARGN)
    get_filename_component(name ${source} NAME)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${nvcc_folder}/${name}.o)
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${MIPHA_NVCC} ${nvcc_flags} -I ${CMAKE_CURRENT_SOURCE_DIR} -MD -MF ${object}.d -c ${source} -o ${object}
      DEPENDS ${source}
      DEPFILE ${object}.d
      COMMENT "nvcc: ${nvcc_folder}/${name}"
      VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set(${out} ${objects} PARENT_SCOPE)
endfunction()
file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/cuda)

file(GLOB machine_sources CONFIGURE_DEPENDS test/machine/*.cc)
set(machine_tests ${machine_sources})
list(FILTER machine_sources EXCLUDE REGEX "/test_[a-z]+\\.cc$")
list(FILTER machine_tests INCLUDE REGEX "/test_[a-z]+\\.cc$")
add_library(machine STATIC ${machine_sources})
target_link_libraries(machine PUBLIC mipha_flags)
target_include_directories(machine SYSTEM PUBLIC ${cuda})
# It runs where it is built, 32 lanes at a time: with wide vectors, and fma as an instruction.
include(CheckCXXSourceRuns)
check_cxx_source_runs("int main() { return __builtin_cpu_supports(\"avx2\") && __builtin_cpu_supports(\"fma\") ? 0 : 1; }" MIPHA_HAS_AVX2)
if(MIPHA_HAS_AVX2)
  target_compile_options(machine PRIVATE -mavx2 -mfma)
endif()

file(GLOB machine_kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/test/machine/kernels/*.cu)
mipha_cuda_objects(machine_objects ${machine_kernels})
add_executable(machine_test test/machine_test.cc ${machine_tests} test/machine/kernels/examples.cc ${machine_objects})
target_link_libraries(machine_test PRIVATE machine GTest::gtest_main)
foreach(target IN LISTS targets)
  set(name machine_test_${target})
  add_test(NAME ${name} COMMAND machine_test --gtest_brief=1 --gtest_output=xml:${CMAKE_BINARY_DIR}/results/${name}.xml)
  set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS native ENVIRONMENT MIPHA_MACHINE_TARGET=${target})
endforeach()

# ---- the CUDA backend on the machine: its library, and every test/cuda_*_test.cc as a program with the kernels in it, run once per target ----

file(GLOB cuda_kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/backend/cuda/kernels/*.cu)
mipha_cuda_objects(cuda_objects ${cuda_kernels})
mipha_list(cuda_runtime_sources ${MIPHA_ROOT}/ cuda_runtime_sources)
add_library(mipha_cuda MODULE ${cuda_runtime_sources} ${cuda_objects})
target_link_libraries(mipha_cuda PRIVATE machine)
target_compile_definitions(mipha_cuda PRIVATE MIPHA_CUDA_BUILT="machine")
set_target_properties(mipha_cuda PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}) # beside the programs, whoever configures
target_link_options(mipha_cuda PRIVATE -Wl,--exclude-libs,ALL -Wl,-z,defs)

file(GLOB cuda_tests CONFIGURE_DEPENDS test/cuda_*_test.cc)
foreach(source IN LISTS cuda_tests)
  get_filename_component(program ${source} NAME_WE)
  set(slow cuda_backend_ahead_test cuda_backend_constraint_test cuda_backend_failure_test cuda_engine_test cuda_widths_test) # up to a minute each: on the first target alone, and not under sanitizers: cuda_backend_test goes the same ways
  if(MIPHA_SANITIZE AND program IN_LIST slow)
    continue()
  endif()
  file(STRINGS ${source} opens REGEX "MIPHA_CUDA_LIBRARY")
  if(opens) # meets the library as every program does: at run time, nothing of CUDA in the program
    add_executable(${program} ${source})
    target_compile_definitions(${program} PRIVATE MIPHA_CUDA_LIBRARY="$<TARGET_FILE:mipha_cuda>")
    add_dependencies(${program} mipha_cuda)
    set(environment MIPHA_MACHINE_PROCESSORS=2 "MIPHA_CUDA=$<TARGET_FILE:mipha_cuda>") # whole models: few blocks that each prepare the same rows
  else()
    add_executable(${program} ${source} ${cuda_objects})
    target_link_libraries(${program} PRIVATE machine)
    set(environment MIPHA_MACHINE_PROCESSORS=0) # as many as the target's board has
  endif()
  target_link_libraries(${program} PRIVATE mipha_base GTest::gtest_main)
  set(fewer)
  if(MIPHA_SANITIZE AND program STREQUAL cuda_backend_test)
    set(fewer --gtest_filter=-*EveryLayer*:*MultipliedWide) # one model of each kind of switches, for minutes: their figures are judged without sanitizers
  endif()
  set(its_targets ${targets})
  if(program IN_LIST slow)
    list(GET targets 0 its_targets)
  endif()
  foreach(target IN LISTS its_targets)
    set(name ${program}_${target})
    add_test(NAME ${name} COMMAND ${program} --gtest_brief=1 ${fewer} --gtest_output=xml:${CMAKE_BINARY_DIR}/results/${name}.xml)
    set_tests_properties(${name} PROPERTIES TIMEOUT 1200 LABELS native ENVIRONMENT "MIPHA_MACHINE_TARGET=${target};${environment}")
  endforeach()
endforeach()

add_executable(gpu_answers test/gpu_answers.cc)
target_link_libraries(gpu_answers PRIVATE mipha_base)

# ---- what goes to a machine with a GPU: rehearsed on the machine without one, and made for devices when asked ----

file(GLOB bench_sources CONFIGURE_DEPENDS bench/gpu/*.cc)
mipha_cuda_objects(rehearsed_objects ${CMAKE_CURRENT_SOURCE_DIR}/bench/gpu/probes.cu ${CMAKE_CURRENT_SOURCE_DIR}/test/gpu/primitives.cu)
list(GET rehearsed_objects 0 probes)
list(GET rehearsed_objects 1 primitives)
add_executable(gpu_bench ${bench_sources} ${probes} ${cuda_objects})
add_executable(primitives ${primitives})
add_executable(gpu_check_rehearsal test/gpu/rehearsal.cc)
target_link_libraries(gpu_bench PRIVATE machine mipha_base)
add_dependencies(gpu_bench mipha_cuda) # opened at run time
target_link_libraries(primitives PRIVATE machine)
set_target_properties(primitives PROPERTIES LINKER_LANGUAGE CXX)
target_link_libraries(gpu_check_rehearsal PRIVATE mipha_flags GTest::gtest_main)
add_dependencies(gpu_check_rehearsal gpu_bench primitives cuda_rows_test gpu_answers mipha_cuda)
target_compile_definitions(gpu_check_rehearsal PRIVATE MIPHA_PROGRAMS="${CMAKE_BINARY_DIR}" MIPHA_SOURCES="${MIPHA_ROOT}")
if(NOT MIPHA_SANITIZE) # its programs are the tests above
  add_test(NAME gpu_check_rehearsal COMMAND gpu_check_rehearsal --gtest_brief=1 --gtest_output=xml:${CMAKE_BINARY_DIR}/results/gpu_check_rehearsal.xml)
  set_tests_properties(gpu_check_rehearsal PROPERTIES TIMEOUT 900 LABELS native ENVIRONMENT MIPHA_MACHINE_TARGET=87)
endif()
add_library(gpu_device STATIC test/gpu/on_device.cc) # built always: it must keep up with machine.h
target_link_libraries(gpu_device PUBLIC mipha_flags)
target_include_directories(gpu_device SYSTEM PUBLIC ${cuda})
if(MIPHA_GPU)
  include(test/gpu/gpu.cmake)
endif()
