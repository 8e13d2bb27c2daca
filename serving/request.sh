#!/usr/bin/env bash
# Asks TensorFlow Serving over REST: its state, then a list for one user with two events.
# A model that is told when it is asked (hrnn+, hrnn-meta) needs one input more: "at": [1700000060].
# ids: quoted where the log has text, bare where it has whole numbers.
set -euo pipefail
model="${1:-http://127.0.0.1:8501}/v1/models/recommender"

curl --fail-with-body --silent --show-error "$model"
curl --fail-with-body --silent --show-error "$model:predict" --data @- <<'JSON'
{
  "signature_name": "recommend",
  "inputs": {
    "item_ids": [["tea", "jam"]],
    "timestamps": [[1700000000, 1700000060]],
    "lengths": [2],
    "exclude_seen": [true]
  }
}
JSON
