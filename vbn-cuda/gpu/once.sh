#!/usr/bin/env bash
# All that is to be asked of a GPU, with nothing but what lies next to it: each step with a limit of its own, and none ends the rest.
#
#   once.sh first  [REPORT_DIR]   500 s at most: the machine, the kit by each plan, times next to copies and PyTorch
#   once.sh second [REPORT_DIR]   what is left: compute-sanitizer and a profile where they are installed, more than 2^31 elements,
#                                 and the times once more
#
# Ends with 1 if a step has failed. BATCHES='8,64 64,16,8192' are the batches to time instead of the usual ones, KIT='--FLAG ...'
# further options of the kit, VBN_JAVA_OPTS those of the JVM.
set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
part="${1:-}"
case $#-$part in
  1-first | 2-first | 1-second | 2-second) ;;
  *)
    echo "once.sh: was given '$*'; expected first [REPORT_DIR] or second [REPORT_DIR]" >&2
    exit 2
    ;;
esac
report="${2:-vbn-gpu-$part}"
mkdir -p "$report"
report="$(cd "$report" && pwd -P)"
export CUDA_CACHE_PATH="${CUDA_CACHE_PATH:-$report/cache}" PYTHONUNBUFFERED=1
failed=0
start=$SECONDS

# Where the loader does not find the driver by its name.
if [[ -z ${VBN_JAVA_OPTS:-} ]] && ! ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; then
  found="$(find /usr/local/nvidia /usr/lib /usr/lib64 -name libcuda.so.1 2>/dev/null | head -1)"
  [[ -z $found ]] || export VBN_JAVA_OPTS="-Dvbn.cuda.library=$found"
fi
options="${VBN_JAVA_OPTS:-}"
read -ra batches <<<"${BATCHES:-}"
# shellcheck disable=SC2206 # options are meant to be split
java=("$here/runtime/bin/java" --enable-native-access=ALL-UNNAMED -Xmx8g $options -cp "$here/lib/*")

step() { # NAME SECONDS COMMAND...
  local name="$1" limit="$2" begun=$SECONDS status
  shift 2
  timeout -k 5 "$limit" "$@" >"$report/$name.txt" 2>&1
  status=$?
  [[ $status == 0 ]] || failed=1
  echo "=== $name: $([[ $status == 0 ]] && echo done || echo "FAILED with $status") after $((SECONDS - begun)) s, $((SECONDS - start)) s in all" \
    | tee -a "$report/steps.txt"
  tail -n 12 "$report/$name.txt" | cut -c1-200
}

tool() { # NAME SECONDS PROGRAM COMMAND...: where the program is installed
  local name="$1" limit="$2"
  shift 2
  if command -v "$1" >/dev/null; then
    step "$name" "$limit" "$@"
  else
    echo "=== $name: $1 is not installed" | tee -a "$report/steps.txt"
  fi
}

machine() {
  date -u +%Y-%m-%d
  echo "revision $(cat "$here/REVISION")"
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem --format=csv 2>/dev/null \
    || echo "nvidia-smi: not here"
  nproc
  ldconfig -p 2>/dev/null | grep -E 'libcuda|ptxjit' || true
}
export -f machine
export here

if [[ $part == first ]]; then
  step machine 15 bash -c machine
  step probe 30 "${java[@]}" dev.vbn.cli.Main backends
  for plan in one together two three; do
    # shellcheck disable=SC2086
    step "kit-$plan" 60 "${java[@]}" "-Dvbn.cuda.plan=$plan" -Dvbn.conformance.requireDevice=true dev.vbn.cli.Main conform \
      --backend cuda --report "$report/kit-$plan" ${KIT:-}
  done
  step benchmark 145 "${java[@]}" "-Dvbn.benchmark.json=$report/benchmark.json" dev.vbn.cuda.DeviceBenchmark \
    ${batches[@]+"${batches[@]}"}
  if python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    step pytorch 70 python3 "$here/pytorch_peer.py"
  else
    echo "=== pytorch: not here, or without a device" | tee -a "$report/steps.txt"
  fi
else
  small=(8,64 100,16,8 700,3,1 bfloat16:300,16 float16:4,100,16:last 2,2,30000)
  for each in memcheck racecheck synccheck initcheck; do
    tool "sanitizer-$each" 90 compute-sanitizer --tool "$each" --error-exitcode 3 --print-limit 20 "${java[@]}" \
      dev.vbn.cuda.DeviceBenchmark "${small[@]}"
  done
  tool profile 120 ncu --clock-control none -k regex:vbn_ --launch-skip 6 --launch-count 8 --section SpeedOfLight \
    --section MemoryWorkloadAnalysis --section Occupancy --section LaunchStats "${java[@]}" dev.vbn.cuda.DeviceBenchmark \
    256,64,16384
  step large 120 "${java[@]}" "-Dvbn.benchmark.json=$report/large.json" dev.vbn.cuda.DeviceBenchmark \
    "${batches[@]:-bfloat16:2,1,1100001280}"
  step again 150 "${java[@]}" "-Dvbn.benchmark.json=$report/again.json" dev.vbn.cuda.DeviceBenchmark \
    ${batches[@]+"${batches[@]}"}
fi
rm -rf "$report/cache"
tar -czf "$report.tar.gz" -C "$(dirname "$report")" "$(basename "$report")"
echo "$report.tar.gz"
exit "$failed"
