#!/bin/sh
# Makes ./configure from a checkout. Debian: autoconf automake libtool pkg-config.
set -e
cd "$(dirname "$0")"
exec autoreconf --install --force --warnings=no-portability
