#!/usr/bin/env bash
# Runs the conformance kit or the benchmark on this machine's NVIDIA devices, with nothing but what lies next to it.
#
#   run.sh test  [REPORT_DIR]             the whole kit; no device is a failure
#   run.sh bench [REPORT_DIR [N,C,L]...]  forward and backward beside a copy of the same bytes, and beside
#                                         PyTorch where python3 has it; without shapes, four that users have
#
#   VBN_JAVA_OPTS='-Dvbn.cuda.library=PATH'   options for the JVM, such as another driver library
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
what="${1:-}"
case $#-$what in
  1-test | 2-test | [1-9]*-bench) ;;
  *)
    echo "run.sh: was given '$*'; expected test [REPORT_DIR] or bench [REPORT_DIR [N,C,L]...]" >&2
    exit 2
    ;;
esac
report="${2:-vbn-gpu-$what}"
shapes=("${@:3}")

mkdir -p "$report"
{
  echo "date: $(date -u +%Y-%m-%d)"
  echo "revision: $(cat "$here/REVISION")"
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "nvidia-smi: not here"
} | tee "$report/machine.txt"

# shellcheck disable=SC2206 # options are meant to be split
options=(--enable-native-access=ALL-UNNAMED -Djava.awt.headless=true -Xmx4g ${VBN_JAVA_OPTS:-})
java=("$here/runtime/bin/java" "${options[@]}" -cp "$here/lib/*")

if [[ $what == test ]]; then
  exec "${java[@]}" -Dvbn.conformance.requireDevice=true dev.vbn.cli.Main conform --backend cuda --report "$report"
fi

"${java[@]}" dev.vbn.cuda.DeviceBenchmark ${shapes[@]+"${shapes[@]}"} | tee "$report/vbn.txt"
if python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  python3 "$here/pytorch_peer.py" ${shapes[@]+"${shapes[@]}"} | tee "$report/pytorch.txt"
else
  echo "PyTorch: not here, or without a device, so nothing of it was measured" | tee "$report/pytorch.txt"
fi
