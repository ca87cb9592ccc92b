#!/usr/bin/env bash
# One bounded run on a machine that has a GPU and nothing of ours: neither Node nor npm. Every step has a limit, results are written as they come, no
# setting of the machine is changed. What it prints goes into docs/gpu.md by scripts/gpu-report.mjs.
#
#   gpu-check.sh FOLDER [OUT]
#
# FOLDER  what scripts/gpu-package.mjs has made: primitives, cuda_*_test, gpu_bench, gpu_answers with nano/, questions/ and mipha_cuda.so, pytorch.py. What
#         is missing is skipped and said so.
# OUT     ./gpu-check: results.jsonl, one line per result; log.txt, what the steps printed.
# MIPHA_GPU_CHECK_SECONDS=420 for all of it, MIPHA_GPU_CHECK_LIMIT= of each step, where it is less than its own, MIPHA_GPU_CHECK_TIMES=1 by which each
# step's own is multiplied: for rehearsals.
# Status: 0 when no step failed, 1 when one did, 2 without FOLDER.
set -u # not -e: a step that fails is a result
usage() {
  sed -n '/^#   gpu-check/,/^# Status/s/^# \{0,1\}//p' "$0"
}
case ${1:-} in
  -h | --help) usage && exit 0 ;;
  '' | -*) usage >&2 && exit 2 ;;
esac
[ -d "$1" ] || { echo "FOLDER: no such folder: $1" >&2 && exit 2; }
FOLDER=$(cd "$1" && pwd)
OUT=${2:-gpu-check}
TOTAL=${MIPHA_GPU_CHECK_SECONDS:-420}
LIMIT=${MIPHA_GPU_CHECK_LIMIT:-600}
TIMES=${MIPHA_GPU_CHECK_TIMES:-1}
GRACE=5 # seconds for a program to end after it was asked to
mkdir -p "$OUT" || exit 2
OUT=$(cd "$OUT" && pwd)
cd "$FOLDER" || exit 2
RESULTS=$OUT/results.jsonl
LOG=$OUT/log.txt
: > "$LOG"
: > "$RESULTS"
SECONDS=0
broken=0 # a needed step failed: no speeds, which would be those of wrong results
failed=0
export FOLDER MIPHA_CUDA=$FOLDER/mipha_cuda.so

# quoted TEXT: as a string of JSON
quoted() {
  printf '"%s"' "$(tr -d '\000-\037' <<< "$1" | sed 's/[\\"]/\\&/g')"
}
export -f quoted

say() {
  echo "$1" >> "$RESULTS"
  echo "$1"
}

# skip NAME WORDS
skip() {
  say "{\"run\":$(quoted "$1"),\"skipped\":$(quoted "$2")}"
}

# left: seconds that a step may still take
left() {
  echo $((TOTAL - GRACE - SECONDS))
}

# step NAME LIMIT always|sound COMMAND...: `sound`: not after a needed step has failed. Its lines of JSON become results.
step() {
  local name=$1 limit=$(($2 * TIMES)) when=$3 began=$SECONDS left=$(left) status words=''
  shift 3
  if [ "$when" = sound ] && [ "$broken" = 1 ]; then
    skip "$name" 'a step that it needs failed or had no time'
    return 0
  fi
  [ "$limit" -gt "$LIMIT" ] && limit=$LIMIT
  if [ "$left" -lt $((limit / 3 + 1)) ]; then
    skip "$name" "only $left of $TOTAL seconds were left"
    return 1
  fi
  [ "$limit" -gt "$left" ] && limit=$left
  echo "=== $name: at most $limit s: $*" >> "$LOG"
  timeout -k $GRACE "$limit" "$@" > "$OUT/step.txt" 2>&1 < /dev/null
  status=$?
  head -c 200000 "$OUT/step.txt" >> "$LOG"
  # A program that was stopped may have left half a line.
  grep -E '^\{"step".*\}$' "$OUT/step.txt" | while IFS= read -r line; do say "$line"; done
  case $status in
    0) ;;
    124 | 137) words=",\"words\":\"stopped after $limit s\"" ;;
    126 | 127) words=",\"words\":$(quoted "does not start: $(tail -n 1 "$OUT/step.txt")")" ;;
    *) words=",\"words\":$(words_of "$OUT/step.txt")" ;;
  esac
  say "{\"run\":$(quoted "$name"),\"status\":$status,\"seconds\":$((SECONDS - began))$words}"
  sync "$RESULTS" 2> /dev/null
  [ "$status" = 0 ] || failed=1
  return "$status"
}

# needed NAME LIMIT COMMAND...: what fails here makes speeds worthless
needed() {
  step "$1" "$2" always "${@:3}" || broken=1
}

# words_of FILE: in what a program that failed has printed, GoogleTest's first failure, else the last line
words_of() {
  local failure
  failure=$(grep -m 1 -A 1 ': Failure$' "$1" | tr '\n' ' ' | head -c 300)
  quoted "${failure:-$(tail -n 1 "$1")}"
}

# found PROGRAM PATTERN...: its path, on the PATH or where NVIDIA puts it
found() {
  command -v "$1" && return 0
  [ $# -gt 1 ] || return 1
  ls -d ${2:-} ${3:-} 2> /dev/null | tail -n 1 | grep .
}

machine() {
  local gpu='' driver='' memory='' clocks='' board=''
  if command -v nvidia-smi > /dev/null; then
    IFS=, read -r gpu driver memory clocks < <(nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2>&1 | head -n 1)
    nvidia-smi
  fi
  [ -r /proc/device-tree/model ] && board=$(tr -d '\000' < /proc/device-tree/model) # of a Jetson
  printf '{"step":"machine","gpu":%s,"driver":%s,"memory":%s,"clock":%s,"board":%s,"cpu":%s,"cores":%s,"system":%s,"nvcc":%s}\n' \
    "$(quoted "${gpu:-no nvidia-smi}")" "$(quoted "${driver# }")" "$(quoted "${memory# }")" "$(quoted "${clocks# }")" "$(quoted "$board")" \
    "$(quoted "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)")" "$(nproc)" \
    "$(quoted "$(uname -sr), $(ldd --version 2>&1 | head -n 1)")" \
    "$(quoted "$(nvcc --version 2> /dev/null | sed -n 's/.*release.*, V//p')")"
}
export -f machine

# sanitized TOOL: every test under one tool of the sanitizer, but for the one that the processor computes at; the status of the last that failed
sanitized() {
  local status=0 program
  for program in "$FOLDER"/cuda_*_test; do
    [ "${program##*/}" = cuda_widths_test ] && continue
    "$SANITIZER" --tool "$1" --error-exitcode 9 --launch-timeout 0 --print-limit 20 "$program" --gtest_brief=1 || status=$?
  done
  return $status
}
export -f sanitized

step machine 20 always bash -c machine
if [ -x "$FOLDER/primitives" ]; then
  needed primitives 30 "$FOLDER/primitives"
else
  skip primitives 'primitives is not in the folder'
  broken=1
fi

tests=0
ends=$((SECONDS + 90)) # of all tests together
for program in "$FOLDER"/cuda_*_test; do
  [ -x "$program" ] && [ "${program##*/}" != cuda_widths_test ] || continue
  tests=$((tests + 1))
  rest=$((ends - SECONDS))
  needed "${program##*/}" $((rest > 5 ? rest : 5)) "$program" --gtest_brief=1
done
if [ "$tests" = 0 ]; then
  skip kernels 'no cuda_*_test is in the folder'
  broken=1
fi

lacks=
for part in gpu_answers mipha_cuda.so nano questions; do [ -e "$FOLDER/$part" ] || lacks=${lacks:-$part}; done
if [ "$lacks" ]; then skip answers "$lacks is not in the folder"; else needed answers 60 "$FOLDER/gpu_answers" "$FOLDER/nano" "$FOLDER/questions"; fi

bench=yes
[ -x "$FOLDER/gpu_bench" ] || bench=
# The first speeds are home before anything slow begins.
if [ "$bench" ]; then step speed-short 60 sound "$FOLDER/gpu_bench" --short; else skip speed-short 'gpu_bench is not in the folder'; fi
# Kernels at the widths of published models: the reference takes the processor 15 seconds, a slow one 60.
if [ -x "$FOLDER/cuda_widths_test" ]; then
  step cuda_widths_test 60 sound "$FOLDER/cuda_widths_test" --gtest_brief=1 || broken=1
else
  skip cuda_widths_test 'cuda_widths_test is not in the folder'
fi

SANITIZER=$(found compute-sanitizer '/usr/local/cuda*/bin/compute-sanitizer' '/opt/nvidia/*/compute-sanitizer')
export SANITIZER
ends=$((SECONDS + 150)) # of all tools together
for tool in memcheck racecheck synccheck initcheck; do # when a test failed above, this is where the reason shows
  if [ -z "$SANITIZER" ]; then
    skip "sanitizer-$tool" 'compute-sanitizer is not on this machine'
  elif [ "$tests" = 0 ]; then
    skip "sanitizer-$tool" 'no cuda_*_test is in the folder'
  elif [ $((ends - SECONDS)) -lt 20 ]; then
    skip "sanitizer-$tool" "the tools before it took the time of all of them"
  else
    rest=$((ends - SECONDS))
    step "sanitizer-$tool" $((rest < 60 ? rest : 60)) always bash -c "sanitized $tool"
  fi
done

NCU=$(found ncu '/usr/local/cuda*/bin/ncu' '/opt/nvidia/nsight-compute/*/ncu')
if [ -z "$NCU" ]; then
  skip ncu 'ncu (Nsight Compute) is not on this machine'
elif [ -z "$bench" ]; then
  skip ncu 'gpu_bench is not in the folder'
else
  step ncu 60 sound "$NCU" --clock-control none --section SpeedOfLight --section Occupancy --section LaunchStats --csv "$FOLDER/gpu_bench" --once
fi

PYTHON=$(found python3)
if [ -z "$PYTHON" ]; then
  skip pytorch 'python3 is not on this machine'
elif [ ! -r "$FOLDER/pytorch.py" ]; then
  skip pytorch 'pytorch.py is not in the folder'
elif [ "$(left)" -lt 60 ]; then
  skip pytorch "only $(left) of $TOTAL seconds were left"
elif ! lacks=$(timeout -k $GRACE 30 "$PYTHON" "$FOLDER/pytorch.py" --lacks 2> /dev/null < /dev/null); then
  skip pytorch "python3 says what it lacks: ${lacks:-nothing, it does not start or takes more than 30 s}"
else
  step pytorch 90 sound "$PYTHON" -u "$FOLDER/pytorch.py"
fi

if [ "$bench" ]; then step speed-long 120 sound "$FOLDER/gpu_bench"; else skip speed-long 'gpu_bench is not in the folder'; fi

rm -f "$OUT/step.txt"
say "{\"run\":\"all\",\"status\":$failed,\"seconds\":$SECONDS}"
exit $failed
