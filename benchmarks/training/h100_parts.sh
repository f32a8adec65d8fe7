# Sourced by h100_first.sh and h100_second.sh with the seconds that all parts may take.
# Each part prints at once, ends at its own limit, and leaves its files in $OUT/results.tgz.
ALL_S=$1 DEV=${DEV:-cuda} OUT=${OUT:-runs/h100} WHEELS=${WHEELS:-.whl}
WORK=/tmp/steep-h100 SITE=/tmp/steep-h100-site
mkdir -p "$OUT" "$WORK"
export PYTHONPATH=$SITE:src:. PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
if [ -d "$WHEELS" ] && [ ! -d "$SITE" ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
    --target "$SITE" "$WHEELS"/*.whl || exit
fi

versions() {
  {
    [ "$DEV" = cpu ] || nvidia-smi
    python3 -m pip list | grep -iE "^(torch|triton|transf|accel|bitsand|pydan|typing|nvidia-cud|nvidia-cub)"
    ls "$SITE" | grep dist-info | tr '\n' ' '
  } 2>/dev/null | tee -a "$OUT/log.txt"
}

# part SECONDS NAME COMMAND...
part() {
  local left=$((ALL_S - SECONDS - 5)) limit=$1 name=$2
  shift 2
  ((limit < left)) || limit=$left
  echo "=== $name: at most $limit s, $SECONDS s have passed"
  ((limit > 15)) || return
  LIMIT=$limit NAME=$name "$@" 2>&1 | grep --line-buffered -v Warning | tee -a "$OUT/log.txt"
  tar czf "$OUT/results.tgz" --exclude shard* -C "$WORK" .
}

# [FLAGS=...] throughput SHAPE ROWS WARMUP STEPS CONTESTANT...
# A process may take the 78 GiB that a card of 80 GB gives it, on a larger card, too.
throughput() {
  local shape=$1 names=("${@:5}")
  [ "$DEV" = cpu ] && shape=tiny names=("${names[@]%%:*}")
  timeout -k 5 "$LIMIT" python3 -m benchmarks.training.throughput --shape "$shape" --device "$DEV" \
    --shard "$WORK/shard-$shape" --out "$WORK/$NAME" --micro "$2" --warmup "$3" --steps "$4" \
    --only "${names[@]}" --budget-s $((LIMIT - 20)) --memory-gib 78 $FLAGS  # 20 s to import, report
}

gpu_tests() {
  STEEP_TEST_DEVICE=$DEV timeout -s INT -k 10 $((LIMIT - 10)) python3 -m pytest \
    tests/training/test_on_gpu.py -v -W default -p no:cacheprovider -rA --tb=short --durations=5 \
    -n 4  # most of their time is compilation
}
