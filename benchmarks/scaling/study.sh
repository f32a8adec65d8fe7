#!/bin/bash
# Run a scaling study with one process per seed, on one GPU or one machine, in phases.
#   bash benchmarks/scaling/study.sh DATA FOLDER SECONDS [PHASE...]
# DATA: documents.jsonl, questions.jsonl, generations.jsonl.gz, replay.jsonl
# FOLDER: the project; what is finished there is kept. SECONDS: stop after so many; finished points
# count, interrupted ones are continued, and the same command continues.
# PHASE, by default all, in this order:
#   prepare  import and tokenize the texts; needs no GPU, but the same versions of the libraries, so
#            it can be done elsewhere before
#   largest  models of the largest size of synthetic texts, with F1 and forgetting
#   sizes    models of all other sizes of synthetic texts, by likelihood
#   full     models of all synthetic texts, with F1 and forgetting
#   raw      models of the documents alone, by likelihood
# CONFIG: another steep.yaml, with the same arms. OUT: a folder for the results, without weights.
set -e
HERE=$(cd "$(dirname "$0")" && pwd) DATA=$(cd "$1" && pwd) FOLDER=$2 LIMIT=$3
PHASES=("${@:4}")
[ $# -gt 3 ] || PHASES=(prepare largest sizes full raw)
mkdir -p "$FOLDER/data" "${OUT:=$FOLDER}"
OUT=$(cd "$OUT" && pwd)
cp "${CONFIG:-$HERE/steep.yaml}" "$FOLDER/steep.yaml"
cp "$DATA"/{documents,questions,replay}.jsonl "$FOLDER/data/"
cd "$FOLDER"
SIZES=$(sed -n 's/^  tokens: \[\(.*\)\].*/\1/p' steep.yaml)
ALL_TASKS=(--set 'evaluate.methods=[likelihood,short-answers]' --set forgetting.texts=builtin)

# phase NAME OPTION...: ask the base, train and ask a process's seed each, and print the outcome.
phase() {
  local name=$1 left=$((LIMIT - SECONDS - 30)) pids=() # 30 s to save interrupted models and to fit
  shift
  echo "=== $name: at most $left s (not started below 30), $SECONDS s have passed"
  ((left > 30)) || return 0
  timeout "$left" python3 -m steep scale --point 0 "$@" >"log-$name-base.txt" 2>&1 ||
    { tail -n 5 "log-$name-base.txt"; return 0; }
  left=$((LIMIT - SECONDS - 30))
  for seed in 0 1 2; do # scale.seeds
    # Separate folders: a stopped compilation can damage what another process would read.
    TORCHINDUCTOR_CACHE_DIR=/tmp/inductor-$seed timeout -s INT -k 20 "$left" python3 -m steep \
      scale "$@" --set scale.seeds=1 --set train.seed=$seed >"log-$name-$seed.txt" 2>&1 &
    pids+=($!)
  done
  for seed in 0 1 2; do
    wait "${pids[seed]}" || echo "seed $seed ended with status $? (124: the time limit)"
    grep -E ": done in|^steep:" "log-$name-$seed.txt" | tail -n 4
    grep ": step " "log-$name-$seed.txt" | tail -n 1
  done
  python3 -m steep scale --fit "$@" 2>&1 | tee "result-$name.txt"
  tar czf "$OUT/study.tgz" --exclude '*.safetensors' --exclude 'checkpoint-*' \
    .steep runs ./*.txt steep.yaml
}

for each in "${PHASES[@]}"; do
  case $each in
    prepare)
      python3 -m steep import --generations "$DATA/generations.jsonl.gz"
      python3 -m steep tokenize | tee tokenized.txt
      ;;
    largest) phase largest --set scale.arms='[synthetic]' --set "scale.tokens=[${SIZES##*,}]" \
      "${ALL_TASKS[@]}" ;;
    sizes) phase sizes --set scale.arms='[synthetic]' ;;
    full)
      all=$(sed -n 's/.*(synthetic: \([0-9,]*\) tokens.*/\1/p' tokenized.txt | tr -d ,)
      phase full --set scale.arms='[synthetic]' --set "scale.tokens=[$all]" "${ALL_TASKS[@]}"
      ;;
    raw) phase raw ;;
    *) echo "unknown phase: $each" && exit 2 ;;
  esac
done
