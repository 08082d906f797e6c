"""Drives ashlar chat in a pseudo terminal and prints TAP. Called by cli_chat_pty.sh; Python's own library alone.

Nothing sleeps: every step waits for text that the program prints, with a timeout that a loaded machine does not reach. What
the line editor draws is read from a small model of a terminal's screen.
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import stat
import struct
import sys
import termios
import time
import unicodedata

ASHLAR, MODEL, TMP = sys.argv[1:4]
TIMEOUT = int(os.environ.get('CHAT_PTY_TIMEOUT', 120))
PROMPT = "\x1b[?2004h> "
MORE = "\x1b[?2004h. "
CTRL_C, CTRL_D, UP, LEFT, BACKSPACE = "\x03", "\x04", "\x1b[A", "\x1b[D", "\x7f"
WIDE = "日本語"
tests = 0


def check(name, fine, *details):
    global tests
    tests += 1
    print(f"{'ok' if fine else 'not ok'} {tests} - {name}", flush=True)
    if not fine:
        for d in details:
            print("# " + repr(d), flush=True)


def width(c):
    if unicodedata.combining(c):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


class Screen:
    """What libedit needs of a terminal: cursor movement, erasing, inserting and deleting, wrapping at the last column."""

    def __init__(self, columns, rows=24):
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.x = self.y = 0
        self.wrap = False  # the last column is filled: the next character goes to the next row

    def line_feed(self):
        if self.y + 1 < self.rows:
            self.y += 1
        else:
            self.cells = self.cells[1:] + [[" "] * self.columns]

    def put(self, c):
        n = width(c)
        if n == 0:
            return
        if self.wrap or self.x + n > self.columns:
            self.x = 0
            self.line_feed()
        self.wrap = False
        self.cells[self.y][self.x] = c
        if n == 2:
            self.cells[self.y][self.x + 1] = ""
        self.x += n
        if self.x == self.columns:
            self.x, self.wrap = self.columns - 1, True

    def control(self, numbers, kind):
        n = int(numbers) if numbers.isdigit() else 1
        row = self.cells[self.y]
        if kind in "ABCDGHKJP@":
            self.wrap = False
        if kind == "A":
            self.y = max(0, self.y - n)
        elif kind == "B":
            self.y = min(self.rows - 1, self.y + n)
        elif kind == "C":
            self.x = min(self.columns - 1, self.x + n)
        elif kind == "D":
            self.x = max(0, self.x - n)
        elif kind == "G":
            self.x = min(self.columns, n) - 1
        elif kind == "H":
            self.x = self.y = 0
        elif kind == "K":
            row[self.x:] = [" "] * (self.columns - self.x)
        elif kind == "J":
            row[self.x:] = [" "] * (self.columns - self.x)
            for y in range(self.y + 1, self.rows):
                self.cells[y] = [" "] * self.columns
        elif kind == "P":
            row[self.x:] = (row[self.x + n:] + [" "] * n)[: self.columns - self.x]
        elif kind == "@":
            row[self.x:] = ([" "] * n + row[self.x:])[: self.columns - self.x]

    def feed(self, text):
        for numbers, kind, c in re.findall(r"\x1b\[\??([0-9;]*)([A-Za-z@])|([\s\S])", text):
            if kind:
                self.control(numbers, kind)
            elif c == "\r":
                self.x, self.wrap = 0, False
            elif c == "\n":
                self.line_feed()
            elif c == "\b":
                self.x, self.wrap = max(0, self.x - 1), False
            elif c >= " ":
                self.put(c)

    def text(self):
        """Everything up to the cursor, rows joined: what was typed, however it is wrapped."""
        rows = ["".join(r) for r in self.cells[: self.y + 1]]
        return "".join(rows[:-1]) + "".join(self.cells[self.y][: self.x + self.wrap])


class Chat:
    def __init__(self, *arguments, columns=80, locale="C.UTF-8", model=MODEL, started=True):
        environment = dict(os.environ, TERM="xterm", LC_ALL=locale, XDG_STATE_HOME=TMP + "/state")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.clear()
            os.environ.update(environment)
            os.execv(ASHLAR, [ASHLAR, "chat", model, "--temp", "0", *arguments])
        self.resize(columns)
        self.raw, self.done = b"", 0  # all output; how many characters of it have been waited for
        self.code = None
        self.wait(PROMPT if started else "")

    def resize(self, columns, rows=24):
        self.columns = columns
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def output(self):
        return self.raw.decode("utf-8", "ignore")

    def read(self, seconds):
        """False at the end of the output."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            more = os.read(self.fd, 65536)
        except OSError:  # Linux's way to say that the other side has been closed
            more = b""
        self.raw += more
        return bool(more)

    def wait(self, text, fine=None):
        """Reads until `text` comes, or fine(new output) holds; gives what came up to there."""
        end = time.monotonic() + TIMEOUT
        while True:
            new = self.output()[self.done:]
            if fine(new) if fine else text in new:
                self.done += len(new) if fine else new.index(text) + len(text)
                return new if fine else new[: new.index(text)]
            if time.monotonic() > end or not self.read(1):
                print(f"# waited for {text!r} in vain; there is {self.output()[-600:]!r}", flush=True)
                raise SystemExit(1)

    def send(self, text):
        os.write(self.fd, text.encode())

    def say(self, line, until=PROMPT):
        """Types a line; gives what comes up to the next prompt."""
        self.send(line + "\n")
        self.wait("\x1b[?2004l")
        return self.wait(until)

    def screen(self, wanted):
        """True as soon as the line being typed, prompt included, looks like that."""
        def looks(new):
            s = Screen(self.columns)
            s.feed("> " + new)
            return s.text() == wanted
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            if looks(self.output()[self.done:]):
                return True
            if not self.read(1):
                break
        return False

    def ends(self):
        """The exit code; of a chat that goes on, the signal that ends it here."""
        end = time.monotonic() + TIMEOUT
        while self.read(1):
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return self.code

    def leave(self):
        self.send("/exit\n")
        return self.ends()

    def saved(self, name="saved"):
        """The conversation's messages."""
        path = f"{TMP}/{name}{tests}.json"
        self.say(f"/save {path}")
        with open(path, encoding="utf-8") as f:
            return [m["content"] for m in json.load(f)["messages"]]


def figures(text):
    m = re.search(r"\[(\d+) tokens in .*?, (\d+) kept; (\d+) out, .*?; (\d+) of (\d+) tokens used, (\d+)%\]", text)
    return [int(i) for i in m.groups()] if m else None


def commands():
    c = Chat("-n", "8")
    out = c.say("/help")
    names = ["/help", "/reset", "/system", "/regen", "/save", "/load", "/stats", "/params", "/exit"]
    check("/help lists every command", all("\n" + n in "\n" + out for n in names), out)
    out = c.say("/regen")
    check("/regen without a message says so", "no message" in out, out)
    first = figures(c.say("My name is Ada."))
    second = figures(c.say("What is my name?"))
    check("a message is answered, with the context's fill level", first and first[2] > 0 and first[3] < first[4] == 8192, first)
    check("the next turn feeds its own tokens alone", second and second[0] < first[0] and second[1] >= first[3], first, second)
    again = figures(c.say("/regen"))
    check("/regen feeds one token and answers", again and again[0] == 1 and again[1] == second[0] + second[1] - 1 and again[2] > 0,
          second, again)
    out = c.say("/stats")
    check("/stats: turns, tokens kept, fill level", "3 turns" in out and f"{first[1] + second[1] + again[1]} kept" in out and "8192 tokens used" in out, out)
    out = c.say("/params")
    check("/params shows the parameters", all(n in out for n in ("temp ", "top-k ", "top-p ", "min-p ", "repeat-penalty ", "seed ")), out)
    out = c.say("/params temp 0.25") + c.say("/params temp")
    check("/params sets one", out.count("temp 0.25") == 2, out)
    out = c.say("/params temp hot") + c.say("/params top-p 2") + c.say("/params nothing 1") + c.say("/params temp")
    check("/params refuses what is none", "'hot'" in out and "between 0 and 1" in out and "nothing" in out and "temp 0.25" in out, out)
    path = TMP + "/conversation.json"
    out = c.say("/save " + path)
    check("/save", "wrote " + path in out, out)
    check("/save again replaces its own file", "wrote" in c.say("/save " + path))
    with open(path, encoding="utf-8") as f:
        kept = json.load(f)
    check("  it is JSON with the messages, the model and the parameters",
          [m["role"] for m in kept["messages"]] == ["user", "assistant"] * 2 and kept["messages"][2]["content"] == "What is my name?"
          and kept["params"]["temp"] == 0.25 and "mollm2" in kept["model"], kept)
    out = c.say("/reset")
    check("/reset", "forgotten" in out and c.saved() == [], out)
    out = c.say("/load " + path)
    check("/load", "4 messages" in out and c.saved() == [m["content"] for m in kept["messages"]], out)
    third = figures(c.say("Thank you."))
    check("  and the conversation goes on: its cache is still there", third and third[1] >= second[1], third)
    out = c.say("/system You are a pirate.") + c.say("/system")
    check("/system takes a message and shows it", "You are a pirate." in out and c.saved()[0] == "You are a pirate.", out)
    changed = figures(c.say("Who are you?"))
    check("  what follows the changed message is fed again", changed and changed[1] < third[1] and changed[0] > third[0], changed)
    out = c.say("/system -")
    check("/system - takes it away", c.saved()[0] == "My name is Ada.", out)
    out = c.say("/system two words") + c.say("/nonsense") + c.say("/reset now")
    check("an unknown command is named", "/nonsense" in out and "no argument" in out, out)
    check("/exit: exit code 0", c.leave() == 0)


def interrupts():
    c = Chat("--repeat-penalty", "1.3")
    c.send("Write a very long story about a stone mason.\n")
    c.wait("\x1b[?2004l")
    c.wait("", lambda new: len(new) > 20)
    check("the answer streams", "tok/s" not in c.output())
    c.send(CTRL_C)
    stopped = figures(c.wait(PROMPT))
    check("Ctrl+C stops it", stopped and 0 < stopped[2] < 1500, stopped)
    c.send("Say yes.")
    c.wait("yes.")
    c.send(CTRL_C)
    c.wait(PROMPT)
    check("Ctrl+C drops what is typed", c.screen("> "))
    c.say("/params n 8")
    out = c.say("Say yes.")
    more = figures(out)
    check("the chat goes on after it", more and more[2] > 0 and more[1] >= stopped[3], more, stopped)
    c.send(CTRL_C)
    out = c.wait(PROMPT)
    check("Ctrl+C at an empty prompt says what another does", "again leaves" in out, out)
    c.send("dropped")
    c.wait("dropped")
    c.send(CTRL_C)
    c.wait(PROMPT)
    c.send(CTRL_C)
    out = c.wait(PROMPT)
    check("  a line that is dropped between them forgets the first", "again leaves" in out, out)
    out = c.say("/stats")
    c.send(CTRL_C)
    out = c.wait(PROMPT)
    check("  a line between them forgets the first", "again leaves" in out, out)
    c.send(CTRL_C)
    check("two Ctrl+C in a row leave: exit code 0", c.ends() == 0, c.code)
    c = Chat("--repeat-penalty", "1.3")
    c.send("Write a very long story about a stone mason.\n")
    c.wait("\x1b[?2004l")
    c.wait("", lambda new: len(new) > 5)
    c.send(CTRL_C)
    c.wait(PROMPT)
    c.send(CTRL_C)
    check("Ctrl+C that stopped an answer counts as the first", c.ends() == 0, c.code)
    c = Chat()
    c.send(CTRL_D)
    check("Ctrl+D leaves: exit code 0", c.ends() == 0, c.code)
    c = Chat()
    os.kill(c.pid, signal.SIGINT)
    out = c.wait(PROMPT)
    check("SIGINT from elsewhere is a Ctrl+C", "again leaves" in out, out)
    c.send(CTRL_D)
    c.ends()


def lines():
    c = Chat("-n", "4")
    c.send("one \\\n")
    c.wait(MORE)
    c.say("two")
    c.send('"""three\n')
    c.wait(MORE)
    c.send("  /four \\\n")
    c.wait(MORE)
    c.say('"""')
    c.say('"""/help"""')
    c.send("\x1b[200~pasted\r/reset\rtext\x1b[201~")
    c.wait("text")
    c.say("!")
    c.say("//usr is a folder")
    c.say("/exit now")
    check("lines are put together, quoted and pasted text is no command",
          c.saved()[::2] == ["one \ntwo", "three\n  /four \\", "/help", "pasted\n/reset\ntext!", "/usr is a folder"], c.saved())
    c.send('"""begun\n')
    c.wait(MORE)
    c.send(CTRL_C)
    c.wait(PROMPT)
    check("Ctrl+C drops a text of several lines", len(c.saved()) == 10)
    c.send("/he\t")
    check("TAB completes a command", c.screen("> /help "))
    c.send(CTRL_C)
    c.wait(PROMPT)
    c.send("/s\t")
    c.wait("/save  /stats  /system")
    c.send("ys\tx")
    c.wait("tem x")
    c.send(CTRL_C)
    c.wait(PROMPT)
    check("TAB shows several, and goes on with one", True)
    c.send("/params rep\t")
    check("TAB completes a parameter", c.screen("> /params repeat-penalty "))
    c.send(CTRL_C)
    c.wait(PROMPT)
    os.makedirs(TMP + "/a_folder", exist_ok=True)
    open(TMP + "/a_folder/ein_wörtchen", "w").close()
    c.send(f"/load {TMP}/a_fol\tei\t")
    check("TAB completes a file's name", c.screen(f"> /load {TMP}/a_folder/ein_wörtchen "), c.output()[-200:])
    c.send(CTRL_C)
    c.wait(PROMPT)
    c.leave()


def characters():
    for locale in ("C.UTF-8", "C"):
        c = Chat("-n", "4", columns=20, locale=locale)
        text = f"Wörter, auch {WIDE} in einem schmalen Fenster"
        c.send(text)
        # 日 fills columns 16 and 17, 本 18 and 19; 語 does not fit into the twentieth.
        check(f"wide characters in a window of 20 columns ({locale})", c.screen(pad("> " + text, 20)), c.output()[-300:])
        for _ in range(len("einem schmalen Fenster")):
            c.send(LEFT)
        for _ in range(len("語 in ")):
            c.send(BACKSPACE)
        c.send("ö-")
        c.say("")
        said = c.saved()[0]
        check("  and are edited there as one expects", said == f"Wörter, auch {WIDE[:2]}ö-einem schmalen Fenster", said)
        c.resize(40)
        c.send("äöü")
        check("  also after the window has changed", c.screen("> äöü"), c.output()[-200:])
        c.resize(12)
        c.send(WIDE + "xyz")
        c.wait("z")
        c.say("")
        check("  and while it does", c.saved()[2] == "äöü" + WIDE + "xyz", c.saved())
        check("  exit code 0", c.leave() == 0)


def pad(text, columns):
    """The text as rows of `columns` hold it: a wide character that does not fit leaves the last column blank."""
    out, x = "", 0
    for ch in text:
        if x + width(ch) > columns:
            out, x = out + " " * (columns - x), 0
        out, x = out + ch, (x + width(ch)) % columns
    return out


def history():
    path = TMP + "/state/ashlar/history"
    if os.path.exists(path):
        os.remove(path)
    c = Chat("-n", "4", "--no-history")
    c.say("nobody keeps this")
    c.leave()
    check("--no-history writes nothing", not os.path.exists(path))
    c = Chat("-n", "4")
    c.say(f"remember {WIDE}")
    c.say("/stats")
    c.send(UP + UP)
    check("the history of this chat", c.screen(f"> remember {WIDE}"), c.output()[-200:])
    c.send(CTRL_C)
    c.wait(PROMPT)
    before = stat.S_IMODE(os.stat(path).st_mode)
    c.leave()
    check("the history's file is its owner's alone", before == stat.S_IMODE(os.stat(path).st_mode) == 0o600)
    c = Chat("-n", "4")
    c.send(UP + UP + UP)
    check("the history of the chat before", c.screen(f"> remember {WIDE}"), c.output()[-200:])
    c.send(CTRL_C)
    c.wait(PROMPT)
    c.leave()


def full():
    c = Chat("--ctx", "96")
    out = c.say("Write a very long story about a stone mason.")
    check("at the context's end an answer stops and says what to do", "/reset" in out and "--context-shift" in out, out)
    out = c.say("Go on.")
    check("  a message that does not fit is refused, and not kept", "/reset" in out and len(c.saved()) == 2, out)
    out = c.say("/reset") + c.say("/params n 4") + c.say("Hi")
    check("  /reset helps", figures(out), out)
    c.leave()
    c = Chat("--ctx", "128", "--context-shift", "-n", "24")
    outs = [c.say(f"Tell me about the number {i}.") for i in range(8)]
    check("--context-shift leaves out the oldest turns and says so", all(figures(o) for o in outs) and "left out" in "".join(outs),
          outs)
    shifts = [i for i, o in enumerate(outs) if re.search(r"oldest \d+ messages", o)]
    check("  in whole turns, after the system message", shifts and figures(outs[shifts[0]])[1] > 20 and
          all(int(n) % 2 == 0 for n in re.findall(r"oldest (\d+) messages", "".join(outs))), outs)
    check("  and keeps all of them for /save", len(c.saved()) == 16)
    c.say("/params n 400")
    c.send("Write a very long story about a stone mason.\n")
    out = c.wait(PROMPT)
    check("  an answer that reaches the end goes on without them", figures(out) and figures(out)[2] > 40, out)
    c.leave()


for part in (commands, interrupts, lines, characters, history, full):
    part()
print(f"1..{tests}")
