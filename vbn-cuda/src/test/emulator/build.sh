#!/usr/bin/env bash
# Builds the emulated driver, DIRECTORY/libcuda.so.1, from the kernels' source; does nothing where it is up to date.
#
#   build.sh DIRECTORY [COMPILER_OPTION]...
#
# With -DTRAFFIC it counts what kernels read and write.
# VBN_CUDA_SOURCE names another vbn.cu, such as one with a fault in it.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
source="${VBN_CUDA_SOURCE:-$here/../../main/cuda/vbn.cu}"
directory="${1:?expected the directory to build into}"
shift
library="$directory/libcuda.so.1"

if [[ -f $library && -z $(find "$here" "$source" -newer "$library" -print -quit) ]]; then
  exit 0
fi
mkdir -p "$directory"
# Two that build at once do not see each other's halves.
work="$(mktemp -d "$directory/build.XXXXXX")"
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
cp "$source" "$work/source/vbn.cu"
# Like nvcc with -fmad=false: a product is rounded before it is added, unless fma says otherwise.
options=(-std=c++17 -O2 -fPIC -fvisibility=hidden -ffp-contract=off -Wall -Wextra -Wno-unknown-pragmas -Werror "$@")
instrument=()
objects=("$work/kernels.o" "$work/device.o" "$work/driver.o")
if [[ " $* " == *" -DTRAFFIC "* ]]; then # counts what kernels read and write
  instrument=(-fsanitize=thread)
  objects+=("$work/traffic.o")
  g++ "${options[@]}" -c "$here/traffic.cpp" -o "$work/traffic.o"
fi
g++ "${options[@]}" ${instrument[@]+"${instrument[@]}"} -I"$work/source" -c "$here/kernels.cpp" -o "$work/kernels.o" &
g++ "${options[@]}" -c "$here/device.cpp" -o "$work/device.o"
g++ "${options[@]}" -c "$here/driver.cpp" -o "$work/driver.o"
wait $!
g++ -shared -Wl,-soname,libcuda.so.1 -static-libstdc++ -static-libgcc -Wl,--exclude-libs,ALL \
  "${objects[@]}" -o "$work/libcuda.so.1"
mv "$work/libcuda.so.1" "$library"
