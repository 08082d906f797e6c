#!/usr/bin/env bash
# Any source, every verb: a GGUF or a Hugging Face folder where an .ashlar is needed, by way of the cache.
. "$(dirname "$0")/lib.inc"
cache="$XDG_CACHE_HOME/ashlar"
make_gguf() { python3 "$(dirname "$0")/../fixtures/tiny_gguf.py" "$@"; }
entries() { ls "$cache" 2>/dev/null | grep -c '\.ashlar$'; }
entry() { ls "$cache"/*.ashlar; }
poke() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
run() { ash run "$1" -p hello -n 4 --temp 0; }
quiet() { [ "$code" = 0 ] && ! holds "$err" converting; }
converted() { [ "$code" = 0 ] && holds "$err" "converting $1"; } # SOURCE once[ more, as ...]
fresh() { rm -rf "$XDG_CACHE_HOME"; }
wait_for() { # condition...: up to 20 s
    for _ in $(seq 2000); do "$@" && return 0; sleep 0.01; done
    return 1
}

gguf="$TEST_TMP/tiny.gguf"
make_gguf "$gguf"

# ---- once, then again ----
run "$gguf"
check "a GGUF is converted on the way" converted "$gguf once,"
check "  into the cache, with a line that gives path and size" grep -q "^converting $gguf once, into $cache/tiny-[0-9a-f]*\.ashlar ([0-9]* kB)$" "$TEST_TMP/.err"
check "  in a folder for the user alone" [ "$(stat -c %a "$cache" "$XDG_CACHE_HOME" | tr '\n' ' ')" = "700 700 " ]
first=$out made=$(stat -c %i "$(entry)")
run "$gguf"
check "the next run uses it and says nothing" quiet
check "  with the same text, from the same file" [ "$first" = "$out" -a "$made" = "$(stat -c %i "$(entry)")" ]
mkdir "$TEST_TMP/sub"
ln -s "$TEST_TMP" "$TEST_TMP/sub/link"
(cd "$TEST_TMP/sub" && "$(realpath "$ASHLAR")" run ../sub/link/tiny.gguf -p hello -n 1 >/dev/null 2>"$TEST_TMP/.err")
check "another way to the same file finds it" [ "$(grep -c converting "$TEST_TMP/.err")" = 0 -a "$(entries)" = 1 ]

ash tokenize "$gguf" --text "$0" --json
check "tokenize takes a GGUF" quiet
ash perplexity "$gguf" --text "$0" --tokens 100 --window 64
check "perplexity does" quiet
ash bench "$gguf" --pp 8 --tg 2 --repeat 1 --json
check "bench does" quiet
ash bench "$gguf" --tokenizer --text "$0" --json
check "bench --tokenizer does" quiet
printf 'hello\n/exit\n' | "$ASHLAR" chat "$gguf" -n 4 >"$TEST_TMP/.out" 2>"$TEST_TMP/.err"
code=$? out=$(tr -d '\0' <"$TEST_TMP/.out") err=$(cat "$TEST_TMP/.err")
check "chat does" quiet
ash export "$gguf" --to gguf -o "$TEST_TMP/back.gguf"
check "export does" quiet
check "  and gives the source back" cmp -s "$gguf" "$TEST_TMP/back.gguf"
ash verify "$gguf"
check "verify does, and says what it is about" holds "$code $out $err" "all checksums right (0.0 s) $gguf has no checksums"
rm "$TEST_TMP/back.gguf"
fresh
ash inspect "$gguf"
check "inspect reads the source itself" [ "$code" = 0 -a ! -e "$cache" ]
for verb in tokenize "perplexity --text $0 --tokens 9 --window 8" "bench --pp 2 --tg 2" chat verify "export --to gguf -o $TEST_TMP/back.gguf"; do
    fresh
    set -- $verb
    v=$1; shift
    ash "$v" "$gguf" "$@"
    check "$v converts what is not there yet" converted "$gguf once,"
done
rm -f "$TEST_TMP/back.gguf"
# ---- a source that changes ----
touch -d '2020-01-01 00:00:00.000000001' "$gguf"
run "$gguf"
check "another mtime converts again, and says why" converted "$gguf once more, as it or this program has changed"
check "  in place of the first" [ "$(entries)" = 1 ]
touch -d '2020-01-01 00:00:00.000000002' "$gguf"
run "$gguf"
check "a nanosecond counts" converted "$gguf once more"
at=$(grep -abo 'tiny' "$gguf" | head -1 | cut -d: -f1)
poke "$gguf" "$at" tony
touch -d '2020-01-01 00:00:00.000000002' "$gguf"
run "$gguf"
check "so do changed bytes with the old size and time" converted "$gguf once more"
run "$gguf"
check "  and then it rests" quiet
make_gguf "$TEST_TMP/other.gguf" --seed 2
ln -sf "$gguf" "$TEST_TMP/current"
run "$TEST_TMP/current"
check "a link, without a known ending, is a source of its own" converted "$TEST_TMP/current once,"
ln -sf "$TEST_TMP/other.gguf" "$TEST_TMP/current"
run "$TEST_TMP/current"
check "  which changes when it points elsewhere" converted "$TEST_TMP/current once more"
check "  each with one conversion" [ "$(entries)" = 2 ]
run "$TEST_TMP/other.gguf"
other=$out
run "$TEST_TMP/current"
check "  and gives the text of what it points to" [ "$other" = "$out" -a "$other" != "$first" ]
poke "$(ls "$cache"/tiny-*.source)" 15 00000000000000000000000000000000
run "$gguf"
check "a record of another program's conversion: converts again" converted "$gguf once more"
rm "$TEST_TMP/current" "$TEST_TMP/other.gguf"

# ---- damaged and unfinished conversions ----
fresh
run "$gguf"
poke "$(entry)" 100 '\377'
run "$gguf"
check "a damaged header: converts again, and says why" converted "$gguf once more, as the last conversion is damaged or removed"
truncate -s 5000 "$(entry)"
ash cache list
check "cache list shows a cut one" holds "$code $out" "unfinished  $gguf"
run "$gguf"
check "a cut file: converts again" converted "$gguf once more"
rm "$(entry)"
run "$gguf"
check "a removed one: converts again" converted "$gguf once more"
rm "$cache"/*.source
run "$gguf"
check "a conversion without a record: converts again" converted "$gguf once,"
make_gguf "$TEST_TMP/other.gguf" --seed 2
ash convert "$TEST_TMP/other.gguf" -o "$(entry)" --force
run "$gguf"
check "another model under its name: converts again" [ "$code" = 0 -a "$out" = "$first" ]
rm "$TEST_TMP/other.gguf"
poke "$(entry)" $(($(stat -c %s "$(entry)") / 2)) '\377\376\375\374'
ash verify "$gguf"
check "verify names damage in the data, and the way out" holds "$code $err" "ashlar cache clear $gguf"

fresh
big="$TEST_TMP/big.gguf"
make_gguf "$big" --hidden 1024 --layers 3
began=$(date +%s%N)
ash bench "$big" --pp 2 --tg 1 --repeat 1 --json
check "the conversion is no part of the load time" python3 -c '
import json,sys; assert json.loads(sys.argv[1])["load_to_first_logits_s"] < 0.5e-9 * int(sys.argv[2])' "$out" $(($(date +%s%N) - began))
fresh
began=$(date +%s%N)
ash run "$big" -p x -n 1 --json
check "  nor of what run says" python3 -c '
import json,sys; assert json.loads(sys.argv[1])["load_s"] < 0.5e-9 * int(sys.argv[2])' "$out" $(($(date +%s%N) - began))
fresh
unfinished() { ls -A "$cache" 2>/dev/null | grep -q '^\.big-[0-9a-f]*\.ashlar\.[a-z0-9]*$'; }
"$ASHLAR" run "$big" -p x -n 1 >/dev/null 2>&1 &
victim=$!
wait_for unfinished
kill -9 $victim 2>/dev/null
wait $victim 2>/dev/null
if unfinished; then
    check "a killed conversion leaves nothing under its name" [ "$(entries)" = 0 ]
    ash cache list --json
    check "  cache list shows what it has left" python3 -c '
import json,sys; c=json.loads(sys.argv[1])["conversions"]; assert len(c)==1 and c[0]["state"]=="unfinished" and c[0]["source"] is None' "$out"
    run "$big"
    check "  the next run converts" converted "$big once,"
    check "  and removes what was left" [ "$(ls -A "$cache" | wc -l)" = 3 ]
    fresh; mkdir -p "$cache"; : >"$cache/.big-0123456789abcdef.ashlar.abc123"; : >"$cache/mine.txt"
    ash cache clear
    check "  and so does cache clear, which leaves files of others alone" [ "$code$(ls -A "$cache")" = 0mine.txt ]
else
    skip "a killed conversion" "it was done before the signal came"
fi
fresh
"$ASHLAR" run "$big" -p x -n 1 >"$TEST_TMP/.out" 2>"$TEST_TMP/.err" &
victim=$!
wait_for unfinished
kill -INT $victim
wait $victim
code=$? out=$(cat "$TEST_TMP/.out") err=$(tail -1 "$TEST_TMP/.err")
if [ "$code" = 0 ]; then skip "Ctrl+C while converting" "it was done before the signal came"
else
    check "Ctrl+C while converting: exit 1" failed_with 1 "cancelled"
    check "  and nothing is left but the lock" [ "$(ls -A "$cache" | grep -vc '\.lock$')" = 0 ]
fi

# ---- two at once ----
fresh
"$ASHLAR" run "$big" -p hello -n 4 --temp 0 >"$TEST_TMP/one" 2>"$TEST_TMP/one.err" &
one=$!
"$ASHLAR" run "$big" -p hello -n 4 --temp 0 >"$TEST_TMP/two" 2>"$TEST_TMP/two.err" &
two=$!
wait $one; one=$?
wait $two; two=$?
check "two at once both answer" [ "$one$two" = 00 ]
check "  alike, from one conversion" [ "$(cat "$TEST_TMP/one.err" "$TEST_TMP/two.err" | grep -c ^converting)" = 1 -a "$(entries)" = 1 ]
check "  with the same text" cmp -s "$TEST_TMP/one" "$TEST_TMP/two"
rm "$big"

fresh
run "$gguf"
touch "$gguf"
exec 8>"$(ls "$cache"/*.lock)"
flock 8
"$ASHLAR" run "$gguf" -p hello -n 4 --temp 0 >"$TEST_TMP/.out" 2>"$TEST_TMP/.err" 8>&- &
waiter=$!
wait_for grep -q "^waiting: another ashlar converts $gguf$" "$TEST_TMP/.err"
check "who has to wait says so" [ $? = 0 ]
check "  and waits" kill -0 $waiter
ash cache clear
check "cache clear leaves a conversion alone that is being made" failed_with 1 "another ashlar"
check "  it is still there" [ "$(entries)" = 1 ]
exec 8>&-
wait $waiter
code=$? out=$(cat "$TEST_TMP/.out") err=$(cat "$TEST_TMP/.err")
check "  and goes on when the other one is done" converted "$gguf once more"
exec 8>"$(ls "$cache"/*.lock)"
flock 8
touch "$gguf"
"$ASHLAR" run "$gguf" -p hello -n 4 >"$TEST_TMP/.out" 2>"$TEST_TMP/.err" 8>&- &
waiter=$!
wait_for grep -q "^waiting" "$TEST_TMP/.err"
kill $waiter
wait $waiter
check "a signal ends the waiting" [ $? = 143 ]
exec 8>&-

# Who has a model open keeps it.
run "$gguf"
mkfifo "$TEST_TMP/fifo"
"$ASHLAR" chat "$gguf" -n 4 <"$TEST_TMP/fifo" >"$TEST_TMP/.out" 2>"$TEST_TMP/.err" &
chat=$!
exec 7>"$TEST_TMP/fifo"
wait_for grep -q loaded "$TEST_TMP/.err"
ash cache clear "$gguf"
check "cache clear FILE removes a conversion in use" [ "$code$(entries)" = 00 ]
echo hello >&7
exec 7>&-
wait $chat
check "  and the chat that has it open goes on" [ $? = 0 -a "$(grep -c 'tok/s' "$TEST_TMP/.err")" = 1 ]

rm "$TEST_TMP/fifo"; mkfifo "$TEST_TMP/fifo"
"$ASHLAR" chat "$gguf" -n 4 <"$TEST_TMP/fifo" >"$TEST_TMP/.out" 2>"$TEST_TMP/.err" &
chat=$!
exec 7>"$TEST_TMP/fifo"
wait_for grep -q loaded "$TEST_TMP/.err"
kill $chat
wait_for eval '! kill -0 $chat 2>/dev/null'
exec 7>&-
wait $chat
check "after a conversion signals do again what they did before" [ $? = 143 -a "$(grep -c ^converting "$TEST_TMP/.err")" = 1 ]

# ---- what is a source ----
fresh
ash convert "$gguf" -o "$TEST_TMP/real.ashlar"
cp "$TEST_TMP/real.ashlar" "$TEST_TMP/named.gguf"
run "$TEST_TMP/named.gguf"
check "an .ashlar is known by its first bytes, whatever its name" [ "$code" = 0 -a ! -e "$cache" ]
mkdir "$TEST_TMP/folder"
mv "$TEST_TMP/named.gguf" "$TEST_TMP/folder/one.ashlar"
run "$TEST_TMP/folder"
check "a folder with one .ashlar stands for it" [ "$code" = 0 -a ! -e "$cache" ]
cp "$TEST_TMP/real.ashlar" "$TEST_TMP/folder/two.ashlar"
run "$TEST_TMP/folder"
check "  with two it does not" failed_with 1 "$TEST_TMP/folder"
rm "$TEST_TMP"/folder/*
cp "$gguf" "$TEST_TMP/folder/b.gguf"
run "$TEST_TMP/folder"
check "a folder with a GGUF: told to name it" failed_with 1 "$TEST_TMP/folder" "b.gguf"
cp "$gguf" "$TEST_TMP/named.ashlar"
run "$TEST_TMP/named.ashlar"
check "a GGUF is known by its first bytes" converted "$TEST_TMP/named.ashlar once,"
fresh
echo "hello world, this is no model" >"$TEST_TMP/text"
run "$TEST_TMP/text"
check "a text file: exit 1, one line" failed_with 1 "$TEST_TMP/text"
head -c 3000 "$gguf" >"$TEST_TMP/cut.gguf"
run "$TEST_TMP/cut.gguf"
check "a cut GGUF: exit 1, one line, without a promise" failed_with 1 "$TEST_TMP/cut.gguf"
check "  and nothing is left but the lock" [ "$(ls -A "$cache" | grep -vc '\.lock$')" = 0 ]
mkdir "$TEST_TMP/empty"
run "$TEST_TMP/empty"
check "an empty folder: exit 1" failed_with 1 "$TEST_TMP/empty"
run "$TEST_TMP/missing.gguf"
check "a missing file: exit 1" failed_with 1 "$TEST_TMP/missing.gguf" "No such file"
name="$TEST_TMP/$(printf 'w\303\266rld \377 %0150d.gguf' 0)"
cp "$gguf" "$name"
run "$name"
check "a long name with blanks and broken UTF-8" [ "$code" = 0 ]
run "$name"
check "  is found again" quiet
ash cache list --json
check "  and listed as JSON" python3 -c 'import json,sys; assert len(json.loads(sys.argv[1])["conversions"])==1' "$out"
rm -r "$name" "$TEST_TMP/folder" "$TEST_TMP/named.ashlar" "$TEST_TMP/cut.gguf"

# ---- split ----
fresh
make_gguf "$TEST_TMP/split.gguf" --parts 3
run "$TEST_TMP/split-00002-of-00003.gguf"
check "any part of a split GGUF stands for the model" converted "$TEST_TMP/split-00001-of-00003.gguf once,"
check "  whose text is that of the single file" [ "$out" = "$first" ]
run "$TEST_TMP/split-00001-of-00003.gguf"
check "  in one conversion" quiet
touch "$TEST_TMP/split-00003-of-00003.gguf"
run "$TEST_TMP/split-00001-of-00003.gguf"
check "a part that changes converts again" converted "$TEST_TMP/split-00001-of-00003.gguf once more"
rm "$TEST_TMP/split-00003-of-00003.gguf"
run "$TEST_TMP/split-00001-of-00003.gguf"
check "a missing part is named" failed_with 1 "split-00003-of-00003.gguf" "missing"

# ---- a Hugging Face folder ----
hf="$TEST_TMP/hf"
if [ -d "$SHARED/models/llama-30m" ]; then
    fresh
    mkdir "$hf"
    for f in "$SHARED"/models/llama-30m/*; do ln -s "$(realpath "$f")" "$hf/"; done
    run "$hf/"
    check "a Hugging Face folder" converted "$hf once,"
    for f in "$hf" "$hf/model.safetensors.index.json" "$hf/model-00002-of-00005.safetensors"; do
        run "$f"
        check "  is one conversion by way of ${f##*/}" quiet
    done
    ash verify "$hf"
    check "  and verified" holds "$code $out" "all checksums right"
    echo '{"eos_token_id": [1, 2]}' >"$TEST_TMP/generation_config.json"
    mv -f "$TEST_TMP/generation_config.json" "$hf/generation_config.json"
    run "$hf"
    check "a file of its configuration that changes converts again" converted "$hf once more"
    echo "unrelated" >"$hf/notes.md"
    run "$hf"
    check "a file that is none of the model's does not" quiet
    rm -f "$hf/chat_template.jinja" # a link to the shared one
    echo "{{ messages }}" >"$hf/chat_template.jinja"
    run "$hf"
    check "a template that is new does" converted "$hf once more"
    check "  in one place" [ "$(entries)" = 1 ]
else
    skip "a Hugging Face folder through the cache" "SHARED has no llama-30m"
fi

# ---- where the cache is ----
fresh
home="$TEST_TMP/home"
mkdir "$home"
"$(command -v env)" -u XDG_CACHE_HOME HOME="$home" "$ASHLAR" run "$gguf" -p x -n 1 >/dev/null 2>&1
check "without XDG_CACHE_HOME it is ~/.cache" [ -n "$(ls "$home"/.cache/ashlar/*.ashlar)" ]
(cd "$home" && XDG_CACHE_HOME=relative HOME="$home" "$(realpath "$ASHLAR")" cache list >"$TEST_TMP/.out" 2>&1)
check "a relative XDG_CACHE_HOME does not count" holds "$(cat "$TEST_TMP/.out")" "under $home/.cache/ashlar"
env -u XDG_CACHE_HOME -u HOME "$ASHLAR" run "$gguf" -p x -n 1 >"$TEST_TMP/.out" 2>"$TEST_TMP/.err"
code=$? out=$(cat "$TEST_TMP/.out") err=$(cat "$TEST_TMP/.err")
check "without any home: exit 1, what to do" failed_with 1 "XDG_CACHE_HOME" "ashlar convert"
env -u XDG_CACHE_HOME -u HOME "$ASHLAR" run "$TEST_TMP/real.ashlar" -p x -n 1 >/dev/null 2>&1
check "  which an .ashlar does not need" [ $? = 0 ]
ash cache list
check "a cache that does not exist is empty" holds "$code $out" "in 0 conversions"
ash cache clear
check "  and can be cleared" holds "$code $err" "removed 0 conversions"
: >"$TEST_TMP/file"
XDG_CACHE_HOME="$TEST_TMP/file" ash run "$gguf" -p x
check "a cache that cannot be made: exit 1, what to do" failed_with 1 "$TEST_TMP/file/ashlar" "XDG_CACHE_HOME" "ashlar convert"
XDG_CACHE_HOME="$TEST_TMP/file" ash cache list
check "  nor listed" failed_with 1 "$TEST_TMP/file/ashlar"
disk="$TEST_TMP/disk"
mkdir "$disk"
if unshare -rm mount -t tmpfs -o size=1m none "$disk" 2>/dev/null; then
    # A conversion is begun with 4.9 MB free (0.63 MB of data and an allowance). With the first one, of 0.64 MB, and 1 MB
    # of others there are 4.6 MB on this disk: too few for a second one, enough for the first one's replacement.
    cat >"$TEST_TMP/full.sh" <<'EOF'
mount -t tmpfs -o size=6m none "$1"
export XDG_CACHE_HOME="$1"
"$2" run "$3" -p hello -n 1 >/dev/null 2>"$4.first"; echo $? >"$4.codes"
head -c 1000000 /dev/zero >"$1/others"
"$2" run "$5" -p hello -n 1 >/dev/null 2>"$4.full"; echo $? >>"$4.codes"
ls -A "$1/ashlar" | grep -v '\.lock$' >"$4.left"
touch "$3"
"$2" run "$3" -p hello -n 1 >/dev/null 2>"$4.again"; echo $? >>"$4.codes"
mount -o remount,ro "$1"
"$2" run "$3" -p hello -n 1 >/dev/null 2>"$4.ro"; echo $? >>"$4.codes"
"$2" run "$5" -p hello -n 1 >/dev/null 2>"$4.ro-full"; echo $? >>"$4.codes"
"$2" cache clear 2>"$4.ro-clear"; echo $? >>"$4.codes"
EOF
    cp "$gguf" "$TEST_TMP/second.gguf"
    unshare -rm bash "$TEST_TMP/full.sh" "$disk" "$(realpath "$ASHLAR")" "$gguf" "$TEST_TMP/say" "$TEST_TMP/second.gguf"
    code=$(tr '\n' ' ' <"$TEST_TMP/say.codes") out="" err=$(cat "$TEST_TMP"/say.*)
    check "exit codes on a small disk" [ "$code" = "0 1 0 0 1 1 " ]
    err=$(cat "$TEST_TMP/say.full")
    code=1
    check "a full disk is noticed before the work, with what to do" failed_with 1 "MB free" "nothing was written" "XDG_CACHE_HOME"
    check "  and nothing is left" [ "$(wc -l <"$TEST_TMP/say.left")" = 2 ]
    check "a changed source makes room first" grep -q "once more" "$TEST_TMP/say.again"
    check "a read-only cache gives what it has" [ "$(grep -c converting "$TEST_TMP/say.ro")" = 0 ]
    err=$(cat "$TEST_TMP/say.ro-full")
    check "  and says what to do about the rest" failed_with 1 "Read-only" "ashlar convert"
    err=$(cat "$TEST_TMP/say.ro-clear")
    check "  and is not cleared" holds "$err" "Read-only"
else
    skip "a full and a read-only disk" "no mount in a namespace of its own"
fi

# ---- list and clear ----
fresh
cp "$gguf" "$TEST_TMP/a.gguf"
cp "$gguf" "$TEST_TMP/b.gguf"
cp "$gguf" "$TEST_TMP/c.gguf"
for f in a b c; do run "$TEST_TMP/$f.gguf"; touch -d "2021-0$((RANDOM % 3 + 1))-01" "$cache/$f"-*.source; done
touch -d 2021-06-01 "$cache"/b-*.source
touch "$TEST_TMP/c.gguf"
rm "$TEST_TMP/a.gguf"
ash cache list
check "cache list: path, size, source, last use, state, total" [ "$code" = 0 ]
check "  the last used first" grep -q "^ *644 kB  2021-06-01 ..:..  current     $TEST_TMP/b.gguf$" <(head -1 "$TEST_TMP/.out")
check "  its conversion below" grep -q "^ *$cache/b-[0-9a-f]*\.ashlar$" <(sed -n 2p "$TEST_TMP/.out")
check "  one whose source is gone" holds "$out" "gone        $TEST_TMP/a.gguf"
check "  one whose source has changed" holds "$out" "changed     $TEST_TMP/c.gguf"
check "  the total" holds "$out" "1.93 MB  in 3 conversions under $cache"
ash cache list --json
check "cache list --json" python3 -c '
import json,os,sys
d=json.loads(sys.argv[1]); c=d["conversions"]
assert set(d)=={"folder","bytes","conversions"} and d["folder"]==sys.argv[2] and len(c)==3
assert d["bytes"]==sum(i["bytes"] for i in c)==sum(os.path.getsize(i["path"]) for i in c)
assert c[0]["state"]=="current" and c[0]["last_used"].startswith("2021-0") and c[0]["source"].endswith("/b.gguf"), c[0]
assert {i["state"] for i in c}=={"current","changed","gone"}' "$out" "$cache"
run "$TEST_TMP/b.gguf"
ash cache list
check "a use is noted" holds "$(head -1 "$TEST_TMP/.out")" "$(date +%Y-)"
cp "$gguf" "$TEST_TMP/d.gguf"
run "$TEST_TMP/d.gguf"
check "a new conversion tells of those whose source is gone" holds "$err" "644 kB of models that are gone: 'ashlar cache clear --gone'"
ash cache clear --gone
check "cache clear --gone removes them" holds "$code $err" "0 removed 1 conversion, 644 kB"
check "  alone" [ "$(entries)" = 3 ]
rm "$TEST_TMP/c.gguf"
ash cache clear "$TEST_TMP/b.gguf" "$TEST_TMP/sub/link/c.gguf"
check "cache clear FILE...: sources, also such as are gone" holds "$code $err" "0 removed 2 conversions, 1.29 MB"
ash cache clear "$TEST_TMP/b.gguf" "$(entry)"
check "cache clear of what is not there: exit 1, named" [ "$code" = 1 ] 
check "  and the other one, by its own path, is removed" holds "$err" "removed 1 conversion"
check "  which leaves nothing" [ -z "$(ls -A "$cache")" ]
run "$gguf"
run "$TEST_TMP/d.gguf"
ash cache clear
check "cache clear removes all" holds "$code $err $(ls -A "$cache" | wc -l)" "0 removed 2 conversions, 1.29 MB 0"

ash --help
check "--help says what a FILE is" holds "$out" "converted once, into the cache"
check "  and lists the verb" holds "$out" "  cache "
ash cache
check "cache alone: exit 2" failed_with 2 "an argument is missing" "ashlar cache list|clear"
ash cache drop
check "cache with an unknown word: exit 2" failed_with 2 "drop" "list nor clear"
ash cache list extra
check "cache list with an argument: exit 2" failed_with 2 "extra" "too many"
ash cache list --nonsense
check "cache list with an unknown option: exit 2" failed_with 2 "--nonsense"
ash cache clear --gone "$gguf"
check "cache clear --gone with a file: exit 2" failed_with 2 "--gone"
for help in "" " list" " clear"; do
    ash cache$help --help 2>/dev/null || ash cache $help --help
    check "cache$help --help" holds "$code $out" "0 usage: ashlar cache"
done
done_testing
