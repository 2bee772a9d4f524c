#!/usr/bin/env bash
# One node with several GPUs: one process a GPU shares the questions, the longest videos first.
#   examples/cluster/predict_node.sh charades_sta --references TEST.json --videos VIDEOS --output p.jsonl
set -euo pipefail
gpus=${GPUS:-$(nvidia-smi --list-gpus | wc -l)}
exec torchrun --standalone --nproc-per-node "$gpus" -m mmduet predict "$@"
