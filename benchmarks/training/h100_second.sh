#!/bin/bash
# The measurements that h100_first.sh leaves out, on the same machine right after it; ends within
# 300 s. What no time is left for is not started.
source "$(dirname "$0")/h100_parts.sh" 300
FLAGS=--together part 110 135m throughput smollm2-135m 16 3 20 steep "Trainer: compiled layers" \
  "steep, isolated documents" "Trainer: compiled model"
FLAGS="--beside $WORK/8b-float8/outcomes.json" \
  part 100 8b-rowwise throughput llama-3-8b 4 2 12 "steep, float8 rowwise"
part 30 135m-short throughput smollm2-135m-short 4 3 30 steep
part 35 8b-products throughput llama-3-8b 4 1 1 "matrix products"
part 95 8b-bitsandbytes throughput llama-3-8b 4 2 4 \
  "Trainer: bitsandbytes, compiled layers, Liger loss"
export TORCH_CUDNN_SDPA_DEPRIORITIZED=1  # FlashAttention 2 before cuDNN's kernel
part 75 8b-flash-attention throughput llama-3-8b 4 2 3 steep
