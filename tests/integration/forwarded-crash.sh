#!/bin/sh
# test-crash once more with file contents that take the long way: through the
# fsworker, by --data-path=forwarded.
VIRTIOFSD_ARGS="$VIRTIOFSD_ARGS --data-path=forwarded"
export VIRTIOFSD_ARGS
exec ./test-crash "$@"
