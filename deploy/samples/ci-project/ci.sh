#!/bin/sh
# Builds and tests the project next to this script, out of source: everything goes to the working
# directory. Leaves artifact.tar.gz with the binary and the log, also when a test fails.
# Exit status: 0 when all is well, 1 when something doesn't compile or a test fails.
set -u
source_dir=$(cd "$(dirname "$0")" && pwd)
flags="-std=c++20 -O2 -Wall -Wextra -I$source_dir/src"
mkdir -p build/bin artifact
log=$PWD/artifact/ci.log
: >"$log"

say() { printf '%s\n' "$*" | tee -a "$log"; }

# Runs a command, its output into the log and onto the screen; ends everything when it fails.
step() {
  say "--- $*"
  "$@" >step.out 2>&1
  status=$?
  tee -a "$log" <step.out
  [ "$status" -eq 0 ] || finish "failed with status $status: $*"
}

# Packs what there is.
finish() {
  say "=== ${1:-passed}"
  [ ! -f build/bin/words ] || cp build/bin/words artifact/
  tar -czf artifact.tar.gz -C artifact . || exit 1
  [ $# -eq 0 ]
  exit
}

say "=== build with $(g++ --version | head -n 1)"
for file in src/text src/main tests/text_test; do
  step g++ $flags -c "$source_dir/$file.cc" -o "build/$(basename $file).o"
done
step g++ build/text.o build/main.o -o build/bin/words
step g++ build/text.o build/text_test.o -o build/bin/text_test
say "=== test"
step build/bin/text_test
printf 'to be or not to be\n' >sentence.txt
step sh -c 'build/bin/words <sentence.txt'
finish
