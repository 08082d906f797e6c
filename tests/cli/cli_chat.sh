#!/usr/bin/env bash
# ashlar chat through a pipe: turns that keep the cache, commands, files, templates, the context's end, completion.
# The same in a terminal: cli_chat_pty.sh.
. "$(dirname "$0")/lib.inc"
if [ ! -e "$SMOLLM2_GGUF" ]; then
    skip "chat through a pipe" "SmolLM2's GGUF has not been fetched"
    done_testing
    exit 0
fi
model="$TEST_TMP/smol.ashlar"
ash convert "$SMOLLM2_GGUF" -o "$model"

# Sends the lines of $1 (printf's escapes) to ashlar chat; sets code, out, err.
talk() { # lines option...
    local lines=$1; shift
    printf "$lines" | "$ASHLAR" chat "$@" --temp 0 >"$TEST_TMP/.out" 2>"$TEST_TMP/.err"
    code=$?
    out=$(cat "$TEST_TMP/.out") err=$(cat "$TEST_TMP/.err")
}
# One figure of the nth answer: fed, kept, out or used.
figure() { # n name
    sed -nE 's/^\[([0-9]+) tokens in .*, ([0-9]+) kept; ([0-9]+) out, .*; ([0-9]+) of [0-9]+ tokens used, [0-9]+%\]$/fed=\1 kept=\2 out=\3 used=\4/p' \
        "$TEST_TMP/.err" | sed -n "$1s/.*$2=\([0-9]*\).*/\1/p"
}

talk 'My name is Ada. Remember it.\nWhat is my name?\n/stats\n/save '"$TEST_TMP"'/log.txt\n/save '"$TEST_TMP"'/log.json\n/reset\n/nonsense\n/exit\nnot reached\n' "$model" -n 48
check "chat: exit 0" [ "$code" = 0 ]
check "the first turn keeps nothing" [ "$(figure 1 kept)" = 0 -a "$(figure 1 fed)" -gt 20 ]
# The second one feeds the answer's last token, what closes it, and its own message.
check "the second turn feeds its own tokens alone" [ "$(figure 2 kept)" = "$(figure 1 used)" -a "$(figure 2 fed)" -lt 20 ]
check "answers go to stdout, all else to stderr" [ "$(wc -l <"$TEST_TMP/.out")" = "$(grep -c '' "$TEST_TMP/.out")" -a -n "$out" ]
check "  nothing of stderr's is in it" [ -z "$(grep -E 'tok/s|wrote|forgotten' "$TEST_TMP/.out")" ]
check "/stats" holds "$err" "2 turns"
check "/save as text" grep -q "^user: What is my name?" "$TEST_TMP/log.txt"
check "/save as JSON" python3 -c '
import json,sys
d=json.load(open(sys.argv[1])); m=d["messages"]
assert [i["role"] for i in m]==["user","assistant"]*2 and m[2]["content"]=="What is my name?", m
assert d["params"]["temp"]==0 and d["params"]["n"]==48 and d["params"]["seed"]=="0", d
assert "\n".join(i["content"] for i in m[1::2])==open(sys.argv[2]).read().rstrip("\n"), m' "$TEST_TMP/log.json" "$TEST_TMP/.out"
check "an unknown command is named" holds "$err" "/nonsense"
check "/exit ends it" holds "$err" "forgotten"
talk '/save '"$TEST_TMP"'/log.json\n' "$model"
check "/save does not replace another chat's file" [ "$code" = 1 ] && holds "$err" "exists already"

# A chat that is loaded goes on as the one that was saved: the same prompt, the same answer. Floats, since a token alone
# and one of many take different kernels, whose last bits 8-bit activations can turn into a step.
talk 'What is my name?\nSay it again.\n' "$model" -n 12 --act float
going_on=$(tail -1 "$TEST_TMP/.out")
talk 'What is my name?\n/save '"$TEST_TMP"'/half.json\n' "$model" -n 12 --act float
talk '/load '"$TEST_TMP"'/half.json\nSay it again.\n/regen\n' "$model" -n 12 --act float
check "/load goes on where /save was" [ "$code" = 0 -a "$(head -1 "$TEST_TMP/.out")" = "$going_on" ]
check "/regen at temperature 0 answers the same, from one token" [ "$(tail -1 "$TEST_TMP/.out")" = "$going_on" -a "$(figure 2 fed)" = 1 ]
printf 'Tell me a story.\n/regen\n' | "$ASHLAR" chat "$model" -n 24 --temp 1 --seed 3 --act float >"$TEST_TMP/.out" 2>"$TEST_TMP/.err"
check "/regen draws other random numbers" python3 -c '
import sys; t=open(sys.argv[1]).read(); assert t and t[:len(t) // 2] != t[len(t) // 2:], t' "$TEST_TMP/.out"
cp "$TEST_TMP/.out" "$TEST_TMP/once"
printf 'Tell me a story.\n/regen\n' | "$ASHLAR" chat "$model" -n 24 --temp 1 --seed 3 --act float >"$TEST_TMP/.out" 2>"$TEST_TMP/.err"
check "  the same ones for the same seed" cmp -s "$TEST_TMP/.out" "$TEST_TMP/once"

# What is no conversation is refused in one line, and changes nothing.
refused() { # name, content, words of the error
    printf '%b' "$2" >"$TEST_TMP/bad.json"
    talk 'Hi\n/load '"$TEST_TMP"'/bad.json\n/save '"$TEST_TMP/kept.$tests.json"'\n' "$model" -n 2
    check "/load refuses $1" [ "$code" = 1 -a "$(grep -c '^ashlar: ' "$TEST_TMP/.err")" = 1 ]
    check "  says why" holds "$err" "$3"
    check "  and keeps the conversation" grep -q "2 messages" "$TEST_TMP/.err"
}
refused "what is no JSON" 'user: hello' "bad.json"
refused "a list" '[]' "must be an object"
refused "another role" '{"messages":[{"role":"tool","content":"x"}]}' "roles other than"
refused "an answer without a question" '{"messages":[{"role":"assistant","content":"x"}]}' "take turns"
refused "a late system message" '{"messages":[{"role":"user","content":"x"},{"role":"system","content":"x"}]}' "must be the first"
refused "content that is no text" '{"messages":[{"role":"user","content":["x"]}]}' "both text"
refused "a parameter out of range" '{"messages":[],"params":{"top-p":3}}' "between 0 and 1"
refused "a parameter that is no number" '{"messages":[],"params":{"temp":{}}}' "must be a number"
refused "deep nesting" "$(printf '[%.0s' $(seq 100))" "bad.json"
refused "a NUL" '{"messages":[{"role":"user","content":"a\\u0000b"}]}' "bad.json"
talk '/load '"$TEST_TMP"'/missing.json\n/load\n' "$model"
check "/load of a missing file" holds "$code $err" "missing.json"
printf '{"messages":[{"role":"system","content":"You are a pirate."},{"role":"user","content":"Who are you?"}],"params":{"seed":"12345678901234567890"}}' >"$TEST_TMP/open.json"
talk '/load '"$TEST_TMP"'/open.json\n/regen\n/system\n/params seed\n' "$model" -n 4
check "a message without an answer gets one by /regen" [ "$code" = 0 -a -n "$out" ]
check "  its system message and seed are there" holds "$err" "You are a pirate."
check "  the seed too" holds "$err" "seed 12345678901234567890"

# Several lines.
talk 'one \\\ntwo\n"""\n  three\n\nfour\n"""\n//slash\n"""five' "$model" -n 2 --show-prompt
check "lines that go on, quoted text, two slashes" python3 -c '
import sys
e=sys.argv[1]
for t in ("user\none \ntwo<|im_end|>", "user\n  three\n\nfour<|im_end|>", "user\n/slash<|im_end|>", "user\nfive<|im_end|>"): assert t in e, t' "$err"
talk 'Say <|im_end|> please\n' "$model" -n 2 --show-prompt --system 'You say <|im_end|>.'
check "--show-prompt shows what is fed" holds "$err" "<|im_start|>system
You say <|im_end|>.<|im_end|>
<|im_start|>user
Say <|im_end|> please<|im_end|>
<|im_start|>assistant
"
talk '/system Be brief.\nHi\n/system -\n/regen\n' "$model" -n 2 --show-prompt
check "/system sets and takes away" [ "$(grep -c 'Be brief' "$TEST_TMP/.err")" = 1 -a "$(grep -c 'trained by' "$TEST_TMP/.err")" = 1 ]

# The context's end.
talk 'Write a very long story about a stone mason.\nGo on.\n' "$model" -n 400 --ctx 64
check "a context that fills up: says what to do, exit 1 for the message that did not fit" [ "$code" = 1 -a "$(grep -c '/reset' "$TEST_TMP/.err")" = 2 ]
talk 'Tell me about stones.\nTell me about trees.\nTell me about rivers.\nTell me about clouds.\n' "$model" -n 24 --ctx 128 --context-shift
check "--context-shift goes on: exit 0" [ "$code" = 0 -a "$(wc -l <"$TEST_TMP/.out")" -ge 4 ]
check "  and says what is left out" grep -q 'the oldest 2 messages are left out' "$TEST_TMP/.err"
talk '/system You are a very good writer.\nWrite a very long story about a stone mason.\n' "$model" -n 400 --ctx 96 --context-shift
check "  one answer that fills all of it ends" holds "$err" "is full"

# Templates.
printf '%s' '{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}{% if shout %}!{% endif %}' >"$TEST_TMP/t.jinja"
talk 'Hi\n' "$model" -n 2 --template "$TEST_TMP/t.jinja" --template-vars '{"shout": true}' --show-prompt
check "--template takes the place of the model's, --template-vars reaches it" holds "$err" "[user] Hi<|im_end|>!"
printf 'one\n{%% if %%}\n' >"$TEST_TMP/t.jinja"
ash chat "$model" --template "$TEST_TMP/t.jinja"
check "a template that is none: exit 1, the line named" failed_with 1 "chat template" "line 2"
printf '%s' '{{ raise_exception("never") }}' >"$TEST_TMP/t.jinja"
ash chat "$model" --template "$TEST_TMP/t.jinja"
check "a template that refuses: exit 1, its reason" failed_with 1 "never"
ash chat "$model" --template "$TEST_TMP/missing"
check "a template that is missing: exit 1" failed_with 1 "$TEST_TMP/missing"
ash chat "$model" --template-vars '[]'
check "variables that are none: exit 1" failed_with 1 "variables"

# Ctrl+C as a signal: it stops an answer and not the program.
mkfifo "$TEST_TMP/fifo"
"$ASHLAR" chat "$model" --temp 0 --ctx 2048 --repeat-penalty 1.3 <"$TEST_TMP/fifo" >"$TEST_TMP/.out" 2>"$TEST_TMP/.err" &
chat=$!
exec 7>"$TEST_TMP/fifo"
echo "Write a very long story about a stone mason." >&7
for _ in $(seq 600); do [ -s "$TEST_TMP/.out" ] && break; sleep 0.1; done
kill -INT $chat
for _ in $(seq 600); do grep -q 'tok/s' "$TEST_TMP/.err" && break; sleep 0.1; done
printf 'Say yes.\n/stats\n/exit\n' >&7
exec 7>&-
wait $chat
code=$? out=$(cat "$TEST_TMP/.out") err=$(cat "$TEST_TMP/.err")
check "Ctrl+C stops the answer" [ "$code" = 0 -a "$(figure 1 out)" -lt 1900 ]
check "  and the chat goes on: the next message is answered" holds "$err" "2 turns"

# A model without a template, and one whose template is broken.
if [ -d "$SHARED/models/llama-30m" ]; then
    base="$TEST_TMP/base.ashlar"
    mkdir "$TEST_TMP/base" # the shared folder's own files are never written to: links for the weights alone
    ln -s "$(realpath "$SHARED/models/llama-30m")"/*.safetensors "$TEST_TMP/base/"
    cp "$SHARED/models/llama-30m"/*.json "$TEST_TMP/base/"
    ash convert "$TEST_TMP/base" -o "$base"
    talk 'The Python language\nIt is\n/system x\n/save '"$TEST_TMP"'/base.txt\n' "$base" -n 8 --show-prompt
    check "without a template a model completes, and says so" holds "$code $err" "no chat template: it completes"
    check "  the text goes on" python3 -c '
import sys; e=sys.argv[1]; assert e.count("<|begin_of_text|>The Python language")==2 and "\nIt is\n[prompt" in e' "$err"
    check "  what was said stays" [ "$(figure 2 kept)" -ge "$(figure 1 used)" ]
    check "  there is no system message" holds "$err" "so there is no system message"
    ash chat "$base" --system x
    check "  --system is refused" failed_with 1 "no chat template" "--template"
    printf 'one\n\n{%% for %%}\n' >"$TEST_TMP/base/chat_template.jinja"
    ash convert "$TEST_TMP/base" -o "$TEST_TMP/broken.ashlar"
    ash chat "$TEST_TMP/broken.ashlar"
    check "a model whose template is broken cannot chat: the line is named" failed_with 1 "chat template" "line 3"
    ash run "$TEST_TMP/broken.ashlar" -p "Stone" -n 2
    check "  but it runs" [ "$code" = 0 -a -n "$out" ]
else
    skip "chat without a template" "$SHARED/models/llama-30m is absent"
fi
done_testing
