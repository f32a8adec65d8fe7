#!/bin/bash
# The measurements that h100_first.sh leaves out, on the same machine right after it; ends within 200 s.
source "$(dirname "$0")/h100_parts.sh" 200
part 55 135m-trainer throughput smollm2-135m 16 3 20 "Trainer: fused, compile, liger"
part 60 8b-products throughput llama-3-8b 4 1 1 "matrix products"
part 130 8b-trainer-compiled throughput llama-3-8b 2 2 4 "Trainer: 8-bit, compile, liger"
