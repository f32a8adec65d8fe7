#!/bin/bash
# Training on one GPU of 80 GB, the most valuable measurements first; ends within 470 s.
#   OUT=results WHEELS=.whl bash benchmarks/training/h100_first.sh
# WHEELS: wheels of packages that are missing. DEV=cpu runs everything with tiny sizes.
source "$(dirname "$0")/h100_parts.sh" 470
versions
part 200 8b-steep throughput llama-3-8b 4 2 8 steep
part 140 8b-trainer throughput llama-3-8b 2 2 6 "Trainer: 8-bit, liger"
part 110 tests gpu_tests
part 70 135m-steep throughput smollm2-135m 16 3 20 steep
