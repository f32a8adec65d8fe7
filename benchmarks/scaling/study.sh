#!/bin/bash
# Run a scaling study with one process per seed, on one GPU or one machine.
#   bash benchmarks/scaling/study.sh DATA FOLDER [SECONDS]
# DATA: documents.jsonl, questions.jsonl, generations.jsonl.gz, replay.jsonl
# FOLDER: the project; what is finished there is kept. SECONDS: stop after so many; finished points
# count, and the same command continues.
set -e
HERE=$(cd "$(dirname "$0")" && pwd) DATA=$1 FOLDER=$2 LIMIT=${3:-86400}
mkdir -p "$FOLDER/data"
cp "$HERE/steep.yaml" "$FOLDER/"
cp "$DATA"/{documents,questions,replay}.jsonl "$FOLDER/data/"
GENERATIONS=$(cd "$DATA" && pwd)/generations.jsonl.gz
cd "$FOLDER"
python3 -m steep import --generations "$GENERATIONS"    # texts that are there are left out
python3 -m steep scale --point 0        # tokenizes, chooses subsets, and asks the base
pids=()
for seed in 0 1 2; do                   # scale.seeds
  # Separate folders: a stopped compilation can damage what another process would read.
  TORCHINDUCTOR_CACHE_DIR=/tmp/inductor-$seed timeout -s INT $((LIMIT - SECONDS)) python3 -m steep \
    scale --set scale.seeds=1 --set train.seed=$seed >"log-$seed.txt" 2>&1 &
  pids+=($!)
done
for pid in "${pids[@]}"; do
  wait "$pid" || echo "a seed ended with status $? (130: the time limit); see log-*.txt" >&2
done
python3 -m steep scale --fit
