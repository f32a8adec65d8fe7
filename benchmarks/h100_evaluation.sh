#!/bin/bash
# Scoring and generation on one GPU with the embedded model; ends within 290 s.
#   OUT=results WHEELS=.whl DATA=shared/data bash benchmarks/h100_evaluation.sh
# DATA: quality/quality.htmlstripped.dev and squad-passages/{documents,questions}.jsonl.
# DEV=cpu runs everything on a few questions.
# WHEELS, beside those of Steep and its embedded model: lm-eval 0.4.13 and what it needs beside torch,
# transformers, accelerate, numpy, scipy, pyarrow, jinja2, aiohttp and pytest (39 wheels, 42 MB):
#   lm-eval datasets dill pandas python-dateutil pytz six tzdata xxhash multiprocess evaluate requests
#   charset-normalizer urllib3 pytablewriter dataproperty mbstrdecoder chardet typepy pathvalidate
#   tabledata tcolorpy rouge-score absl-py nltk defusedxml joblib cloudpickle sacrebleu portalocker
#   tabulate colorama lxml scikit-learn narwhals threadpoolctl sqlitedict word2number more-itertools
# pip wheel --no-deps -w .whl lm-eval==0.4.13 datasets ...
# Without lm-eval, only the part "squad" fails.
source "$(dirname "$0")/training/h100_parts.sh" 290
export TQDM_MININTERVAL=60
DATA=${DATA:-shared/data}
QUALITY=("$DATA/quality/quality.htmlstripped.dev" "$DATA/quality/quality.htmlstripped.dev")
SQUAD=("$DATA/squad-passages/documents.jsonl" "$DATA/squad-passages/questions.jsonl")
FEW=() TEXTS=(--rows 64 --new 64 --repeats 2)
[ "$DEV" = cpu ] && FEW=(--first 2 --repeats 1) TEXTS=(--rows 2 --new 4)

# bench MODULE ARGUMENTS...
bench() { timeout -k 5 "$LIMIT" python3 -m "benchmarks.$1" "${@:2}" --device "$DEV"; }

versions
part 60 decoding bench decoding "${TEXTS[@]}"
part 110 squad bench likelihood "${SQUAD[@]}" "${FEW[@]}" --batch-tokens 65536
part 60 precision bench scoring_precision "${SQUAD[@]}" "${FEW[@]:0:2}"
part 60 precision-quality bench scoring_precision "${QUALITY[@]}" "${FEW[@]:0:2}"
