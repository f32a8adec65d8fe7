#!/bin/bash
# Training on one GPU of 80 GB, the most valuable measurements first; ends within 470 s.
#   OUT=results WHEELS=.whl bash benchmarks/training/h100_first.sh
# WHEELS: wheels of packages that are missing: pydantic with what it needs, liger-kernel, torchao and,
# for h100_second.sh, bitsandbytes (zip -d WHEEL '*cuda11*' '*cuda12*' '*rocm*' '*xpu*' leaves 4 MB).
# DEV=cpu runs everything with tiny sizes.
source "$(dirname "$0")/h100_parts.sh" 470
versions
part 225 8b-float8 throughput llama-3-8b 4 2 12 steep "steep, float8 tensorwise"
part 110 tests gpu_tests
part 140 8b-trainer throughput llama-3-8b 4 2 5 "Trainer: compiled layers, Liger loss"
