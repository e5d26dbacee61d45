#!/usr/bin/env bash
# The shortest tour: make a formula, invoke it, look at an error. Needs curl and a running server.
#
#     cargo run --release &
#     examples/hello.sh [http://127.0.0.1:8000]
set -euo pipefail
url=${1:-http://127.0.0.1:8000}/api/v1

say() { printf '\n# %s\n' "$1"; }
post() { curl --silent --show-error --header 'Content-Type: application/json' --data "$2" "$url$1" && echo; }

say 'A substrate is a formula with an identity. The identity is the hash of its text.'
post '/substrates?on_conflict=return' \
    '{"expression_type": "lambda", "expression_code": "lambda x, y=2: x ** y", "metadata": {"name": "power"}}'

say 'Invoke it. Integers are exact at any size.'
id=$(post '/substrates?on_conflict=return' \
    '{"expression_type": "lambda", "expression_code": "lambda x, y=2: x ** y"}' |
    sed 's/.*"substrate_id":"\([^"]*\)".*/\1/')
post "/substrates/$id/invoke" '{"parameters": {"x": 2, "y": 100}}'

say 'A formula that cannot be evaluated says what happened and where.'
post "/substrates/$id/invoke" '{"parameters": {"x": 0, "y": -1}}'

say 'What is not part of the language is refused when the substrate is made.'
post '/substrates' '{"expression_type": "lambda", "expression_code": "lambda: open(\"/etc/passwd\")"}'
