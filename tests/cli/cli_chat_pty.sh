#!/usr/bin/env bash
# ashlar chat in a terminal: streaming, Ctrl+C, every command, editing, wide characters, narrow windows (chat_pty.py).
. "$(dirname "$0")/lib.inc"
if [ ! -e "$SMOLLM2_GGUF" ] || ! command -v python3 >/dev/null; then
    skip "chat in a terminal" "SmolLM2's GGUF has not been fetched, or python3 is absent"
    done_testing
    exit 0
fi
ash convert "$SMOLLM2_GGUF" -o "$TEST_TMP/smol.ashlar"
exec python3 "$(dirname "$0")/chat_pty.py" "$ASHLAR" "$TEST_TMP/smol.ashlar" "$TEST_TMP"
