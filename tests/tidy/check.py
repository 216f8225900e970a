#!/usr/bin/python3
"""Checks of the source tree that a compiler does not make: who includes whom, undefined symbols, sizes, comments.

    tests/tidy/check.py [--build DIR]   all checks; the symbols of objects only with --build
    tests/tidy/check.py --selftest      each check must fail on a tree made to break it

Prints one line a finding, "FILE:LINE: RULE: text". Exit 1 when there is one.
"""
import argparse
import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 1000
LINE_COLUMNS_MAX = 120
PARAMETERS_MAX = 5
NESTING_MAX = 3
EXCUSE_LONG = "tidy: long-switch"  # On one exhaustive switch: /* tidy: long-switch */ inside the function.
EXCUSE_PARAMETERS = "tidy: callback"  # A library gives the signature.

# Which of our headers a folder may include: path prefixes (DESIGN §3). The longest matching folder counts.
# mysql/ fills plan's view and performs plan's verbs; plan/ uses the pure GTID algebra: the documented exceptions.
MAY_INCLUDE = {
    "lib/base": ["lib/base/"],
    "lib": ["lib/"],
    "fsm": ["lib/base/", "fsm/"],
    "plan": ["lib/base/", "fsm/", "plan/", "mysql/gtid.h"],
    "proto": ["lib/", "fsm/", "plan/", "proto/"],
    "client": ["lib/", "fsm/", "proto/", "client/"],
    "mysql": ["lib/", "fsm/", "plan/view.h", "plan/verb.h", "mysql/"],
    "raft": ["lib/", "raft/"],
    "manager": ["lib/", "fsm/", "plan/", "proto/", "mysql/", "raft/", "manager/"],
    "cmd": ["lib/", "fsm/", "plan/", "proto/", "mysql/", "raft/", "manager/", "client/", "cmd/"],
    "cmd/regent-sim": ["lib/", "sim/"],
    "sim": ["lib/", "fsm/", "plan/", "proto/", "mysql/", "raft/", "manager/", "sim/"],
}
# The simulator links these objects of manager/: they reach the world only through manager/ports.h.
PORTABLE = re.compile(r"manager/(driver|execute|observe)\w*\.[ch]$")
PORTABLE_MAY_NOT = ["mysql/db", "raft/", "lib/log.h", "lib/clock.h", "lib/file.h"]
# System headers that belong to one place.
OWNED_HEADERS = [
    (re.compile(r"^raft(\.h|/)"), ["raft/", "sim/"], "only raft/ (and the simulator) sees libraft"),
    (re.compile(r"^(mysql|mariadb)(\.h|/)"), ["mysql/"], "only mysql/ sees the client library"),
]
PURE_FOLDERS = ("fsm/", "plan/")
PURE_MYSQL = re.compile(r"mysql/(gtid\w*|probe|verb\w*|flavour|result)\.[ch]$")
IMPURE_HEADERS = re.compile(r"^(uv|time|mysql|raft|stdio|stdlib|unistd|pthread|jansson|poll|fcntl|signal|yaml)\.h$"
                            r"|^(sys|netinet|arpa|mysql|mariadb|raft|protobuf-c|openssl)/")
# stdlib.h is allowed where text from a server is parsed (strtoull).
PURE_MYSQL_MAY = {"stdlib.h"}

IMPURE_SYMBOLS = re.compile(r"^(uv_|raft_|mysql_|mariadb_)")
PURE_LIBC = re.compile(r"^(mem(cpy|move|set|cmp|chr|mem)"
                       r"|str(n?cmp|n?len|r?chr|n?cpy|cspn|spn|str|pbrk|cat|chrnul)|stpcpy|abort|bcmp|rawmemchr"
                       r"|__mem\w+_chk|__st[rp]\w+_chk|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_)$")
SANITIZER = re.compile(r"^(__asan|__ubsan|__sanitizer|__lsan|__tsan|__odr_asan)")

FOLDERS = ("lib", "fsm", "plan", "proto", "client", "mysql", "raft", "manager", "cmd", "sim", "tests")


class Findings:
    def __init__(self):
        self.lines = []

    def add(self, path, line, rule, text):
        self.lines.append(f"{path}:{line}: {rule}: {text}")


def c_files(root):
    for folder in FOLDERS:
        for directory, _, names in os.walk(os.path.join(root, folder)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(directory, name), root)


def script_files(root):
    for pattern in ("tests/**/*.py", "tests/run", ".ci/run", "deploy/*"):
        for path in glob.glob(os.path.join(root, pattern), recursive=True):
            if os.path.isfile(path):
                yield os.path.relpath(path, root)


def read(root, path):
    with open(os.path.join(root, path), errors="replace") as f:
        return f.read()


def blank(match):
    """Spaces instead of a comment or a literal, so that lines and columns stay."""
    return re.sub(r"[^\n]", " ", match.group(0))


def code_of(text):
    """C text without comments, contents of literals, and preprocessor lines."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", blank, text, flags=re.S)
    text = re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', lambda m: '"' + blank(m)[2:] + '"', text)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def closing(code, start, pair):
    """Position of the bracket that closes the one at 'start'; the text's end when there is none."""
    depth = 0
    for i in range(start, len(code)):
        if code[i] == pair[0]:
            depth += 1
        elif code[i] == pair[1]:
            depth -= 1
            if depth == 0:
                return i
    return len(code) - 1


def functions(code):
    """Function definitions: (name, position, parameters, start and end of the body)."""
    position = 0
    while True:
        brace = code.find("{", position)
        if brace < 0:
            return
        end = closing(code, brace, "{}")
        head = code[max(code.rfind(";", position, brace), code.rfind("}", position, brace), position - 1) + 1:brace]
        match = re.match(r"\s*((?:[\w\s*]|__attribute__\s*\(\(.*?\)\))*?\b(\w+)\s*)\(", head, re.S)
        if match and head.rstrip().endswith(")") and match.group(2) not in ("struct", "enum", "union"):
            offset = brace - len(head)
            open_at = offset + match.end() - 1
            close_at = closing(code, open_at, "()")
            name_at = offset + match.start(2)
            yield match.group(2), name_at, code[open_at + 1:close_at], brace, end
        position = end + 1


def count_parameters(text):
    text = text.strip()
    if text in ("", "void"):
        return 0
    depth = commas = 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        commas += c == "," and depth == 0
    return commas + 1


def deepest_nesting(body):
    """Blocks of control statements inside each other; braces of initialisers and of bare blocks do not count."""
    stack = []
    deepest = 0
    for match in re.finditer(r"[{}]", body):
        if match.group(0) == "}":
            if stack:
                stack.pop()
            continue
        before = body[:match.start()].rstrip()
        control = before.endswith(")") or re.search(r"\b(else|do)$", before) is not None
        if before.endswith(")") and re.search(r"\(\s*(const\s+)?(struct|union)\s+\w+(\s*\[\w*\])?\s*\)$|\[\w*\]\s*\)$",
                                              before):
            control = False  # A compound literal.
        stack.append(control and bool(stack))
        deepest = max(deepest, sum(stack))
    return deepest


def check_functions(path, text, found):
    code = code_of(text)
    for name, position, parameters, start, end in functions(code):
        line = line_of(code, position)
        length = line_of(code, end) - line + 1
        if length > FUNCTION_LINES_MAX and EXCUSE_LONG not in text[start:end]:
            found.add(path, line, "function-length", f"{name}() has {length} lines, at most {FUNCTION_LINES_MAX}")
        if count_parameters(parameters) > PARAMETERS_MAX and EXCUSE_PARAMETERS not in text[start:end]:
            number = count_parameters(parameters)
            found.add(path, line, "parameters", f"{name}() has {number}, at most {PARAMETERS_MAX}")
        depth = deepest_nesting(code[start:end + 1])
        if depth > NESTING_MAX:
            found.add(path, line, "nesting", f"{name}() nests {depth} deep, at most {NESTING_MAX}")


def check_lines(path, text, found):
    lines = text.split("\n")
    if len(lines) - 1 > FILE_LINES_MAX:
        found.add(path, len(lines), "file-length", f"{len(lines) - 1} lines, at most {FILE_LINES_MAX}")
    if text and not text.endswith("\n"):
        found.add(path, len(lines), "blanks", "no newline at the end")
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS_MAX:
            found.add(path, number, "columns", f"{len(line)}, at most {LINE_COLUMNS_MAX}")
        if line != line.rstrip():
            found.add(path, number, "blanks", "blanks at the end of the line")
        if "\t" in line and path.endswith((".c", ".h", ".py")):
            found.add(path, number, "blanks", "a tab")
        if re.search(r"\b(TODO|FIXME|XXX)\b", line) and not path.endswith("tidy/check.py"):
            found.add(path, number, "unfinished", line.strip()[:60])


def check_opening(path, text, found):
    if path.endswith((".c", ".h")):
        good = text.startswith("/*")
    else:
        body = text.split("\n", 1)[1] if text.startswith("#!") and "\n" in text else text
        good = body.lstrip().startswith(("#", '"""'))
    if not good:
        found.add(path, 1, "opening-comment", "a file opens with a comment on its role")


PROTOTYPE = re.compile(r"(?!typedef|static|extern\s+\"|struct\s+\w+\s*\{)[A-Za-z_][\w\s*]*?\b(\w+)\(")


def check_header_comments(path, text, found):
    """Each prototype has a comment: above it (one may serve several that follow each other), or behind it."""
    lines = text.split("\n")
    code = code_of(text).split("\n")
    opening = text[:text.find("*/")]
    depth = 0
    for i, line in enumerate(code):
        starts = depth == 0 and PROTOTYPE.match(line)
        depth += line.count("{") - line.count("}")
        if not starts or code[i - 1].rstrip().endswith((",", "(")) or line.startswith(("FSM_ENUM", "MUST")):
            continue
        name = starts.group(1)
        if f"{name}()" in opening or "/*" in lines[i]:
            continue
        above = i - 1
        while above >= 0 and lines[above].strip() and not lines[above].rstrip().endswith("*/"):
            above -= 1
        if above < 0 or not lines[above].strip():
            found.add(path, i + 1, "header-comment", f"{name}() has no comment")


def includes(text):
    """(line, header, is ours)."""
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', text, re.M):
        yield line_of(text, match.start()), match.group(1) or match.group(2), match.group(1) is not None


def folder_of(path):
    return max((f for f in MAY_INCLUDE if path.startswith(f + "/")), key=len, default=None)


def check_includes(path, text, found):
    if path.startswith("tests/"):
        return
    folder = folder_of(path)
    for line, header, ours in includes(text):
        if header.endswith(".pb-c.h"):
            if not path.startswith("proto/"):
                found.add(path, line, "include", f"{header}: generated types never leave proto/")
        elif ours:
            own_folder = "/" not in header and path.startswith("cmd/")
            if folder and not own_folder and not header.startswith(tuple(MAY_INCLUDE[folder])):
                found.add(path, line, "include", f"{folder}/ may not include {header}")
            if PORTABLE.search(path) and header.startswith(tuple(PORTABLE_MAY_NOT)):
                found.add(path, line, "include", f"{header}: the simulator links this file; use manager/ports.h")
        else:
            for pattern, owners, why in OWNED_HEADERS:
                if pattern.match(header) and not path.startswith(tuple(owners)):
                    found.add(path, line, "include", f"<{header}>: {why}")
            if PORTABLE.search(path) and re.match(r"uv\.h$|uv/", header):
                found.add(path, line, "include", f"<{header}>: the simulator links this file; use manager/ports.h")


def check_pure_includes(root, path, found):
    """A pure file reaches no clock, I/O, heap or library, also not through a header of ours."""
    pure_mysql = PURE_MYSQL.search(path) is not None
    if not path.startswith(PURE_FOLDERS) and not pure_mysql:
        return
    seen, queue = {path}, [path]
    while queue:
        current = queue.pop()
        for line, header, ours in includes(read(root, current)):
            if ours and header not in seen and os.path.exists(os.path.join(root, header)):
                seen.add(header)
                queue.append(header)
            if not ours and IMPURE_HEADERS.match(header) and not (pure_mysql and header in PURE_MYSQL_MAY):
                via = "" if current == path else f" (through {current}:{line})"
                found.add(path, line if current == path else 1, "pure", f"<{header}>{via} in a pure file")


def symbols(object_path, defined):
    """Names that an object defines, or those that it needs."""
    option = "--defined-only" if defined else "--undefined-only"
    out = subprocess.run(["nm", "-P", option, object_path], capture_output=True, text=True, check=True).stdout
    return {line.split()[0].split("@")[0] for line in out.splitlines() if line.strip()}


def check_symbols(build, found):
    objects = sorted(glob.glob(os.path.join(build, "obj", "**", "*.o"), recursive=True))
    name_of = {o: os.path.relpath(o, os.path.join(build, "obj"))[:-2] + ".c" for o in objects}
    pure_own = set()
    for o in objects:
        if name_of[o].startswith(("lib/base/", "fsm/", "plan/", "mysql/gtid")):
            pure_own |= symbols(o, defined=True)
    checked = 0
    for o in objects:
        name = name_of[o]
        pure = name.startswith(PURE_FOLDERS)
        if not pure and not PORTABLE.search(name) and not PURE_MYSQL.search(name):
            continue
        checked += 1
        for symbol in sorted(symbols(o, defined=False)):
            if IMPURE_SYMBOLS.match(symbol):
                found.add(name, 1, "symbol", f"{symbol} is undefined in the object: not through the ports")
            elif pure and symbol not in pure_own and not PURE_LIBC.match(symbol) and not SANITIZER.match(symbol):
                found.add(name, 1, "symbol", f"{symbol} in a pure object")
    if checked == 0:
        found.add(build, 1, "symbol", "no objects of fsm/, plan/ or manager/ there: nothing was checked")


# RAFT_VERSION_NUMBER of an installed libraft: does raft/compat.h take it? None: no such macro, as before 0.17.
LIBRAFT = {None: False, 1700: False, 1701: False, 2102: False, 2200: True, 2201: True}


def check_libraft(root, found):
    """A libraft that loses data is refused by the compiler (DESIGN §5)."""
    path = "raft/compat.h"
    if not os.path.exists(os.path.join(root, path)):
        return
    with tempfile.TemporaryDirectory() as fake:
        os.mkdir(os.path.join(fake, "raft"))
        with open(os.path.join(fake, "raft", "uv.h"), "w"):
            pass
        for version, good in LIBRAFT.items():
            with open(os.path.join(fake, "raft.h"), "w") as f:
                f.write(f"#define RAFT_VERSION_NUMBER {version}\n" if version else "")
            done = subprocess.run(["cc", "-fsyntax-only", "-x", "c", "-I", fake, os.path.join(root, path)],
                                  capture_output=True, text=True, check=False)
            if (done.returncode == 0) != good or (not good and "too old" not in done.stderr + done.stdout
                                                  and "tested against" not in done.stderr):
                found.add(path, 1, "libraft", f"version {version or 'without a number'} is "
                          + ("refused" if good else "not refused with a reason"))


def check_tree(root, build=None):
    found = Findings()
    for path in c_files(root):
        text = read(root, path)
        check_lines(path, text, found)
        check_opening(path, text, found)
        check_functions(path, text, found)
        check_includes(path, text, found)
        check_pure_includes(root, path, found)
        if path.endswith(".h"):
            check_header_comments(path, text, found)
    for path in script_files(root):
        text = read(root, path)
        check_lines(path, text, found)
        check_opening(path, text, found)
    check_libraft(root, found)
    if build:
        check_symbols(build, found)
    return found.lines


# Selftest: one small tree for each rule, which breaks that rule and no other.

GOOD = "/* Role. */\n"
BROKEN = {
    "function-length": {"lib/a.c": GOOD + "int f(void)\n{\n" + "    g();\n" * 70 + "}\n"},
    "file-length": {"lib/a.c": GOOD + "int a;\n" * 1001},
    "parameters": {"lib/a.c": GOOD + "int f(int a, int b, int c, int (*d)(int, int), int e, int g)\n{\n}\n"},
    "nesting": {"lib/a.c": GOOD + "int f(void)\n{\n    if (a) {\n        for (;;) {\n            while (b) {\n"
                "                if (c) {\n                    d();\n                }\n            }\n        }\n"
                "    }\n}\n"},
    "columns": {"lib/a.c": GOOD + "int a; /* " + "x" * 120 + " */\n"},
    "blanks": {"lib/a.c": GOOD + "int a; \n"},
    "unfinished": {"lib/a.c": GOOD + "/* TO" + "DO: all of it */\n"},
    "opening-comment": {"lib/a.c": "int a;\n"},
    "header-comment": {"lib/a.h": GOOD + "\nint f(int a);\n"},
    "include": {"fsm/a.c": GOOD + '#include "mysql/db.h"\n'},
    "include ": {"manager/a.c": GOOD + "#include <mysql.h>\n"},
    "include  ": {"manager/driver.c": GOOD + "#include <uv.h>\n"},
    "include   ": {"manager/a.c": GOOD + '#include "proto/a.pb-c.h"\n'},
    "include    ": {"lib/base/a.c": GOOD + '#include "lib/log.h"\n'},
    "include     ": {"manager/execute_a.c": GOOD + '#include "raft/node.h"\n'},
    "pure": {"plan/a.c": GOOD + '#include "lib/base/a.h"\n', "lib/base/a.h": GOOD + "#include <time.h>\n"},
    "libraft": {"raft/compat.h": GOOD + "#include <raft.h>\n"},
    "symbol": {"fsm/a.c": GOOD + "void *malloc(unsigned long);\nvoid *f(void);\n"
               "void *f(void)\n{\n    return malloc(3);\n}\n"},
    "symbol ": {"manager/driver.c": GOOD + "void uv_run(void);\nvoid f(void);\n"
                "void f(void)\n{\n    uv_run();\n}\n"},
}
CLEAN = {
    "lib/a.c": GOOD + "struct s {\n    int a;\n};\n\nint f(int a, int (*b)(int, int, int, int, int, int))\n{\n"
    "    struct s s = {.a = 1};\n\n    if (a) {\n        for (;;) {\n            while (g(&(struct s){1})) {\n"
    "                h(\"{ {\" /* { */);\n            }\n        }\n    }\n    return s.a;\n}\n",
    "lib/b.c": GOOD + "int f(int a, int b, int c, int d, int e, int g)\n{\n    /* tidy: callback */\n}\n",
    "lib/a.h": GOOD + "\n/* Says a thing. */\nint f(int a);\nint g(int a,\n      int b);\n\n"
    "int h(void); /* So does this. */\n",
    "fsm/a.c": GOOD + '#include "lib/base/err.h"\n#include <string.h>\nint f(const char *);\n'
    "int f(const char *a)\n{\n    return strcmp(a, a);\n}\n",
}


def run_on(files):
    with tempfile.TemporaryDirectory() as root:
        build = None
        for path, text in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w") as f:
                f.write(text)
            if path in ("fsm/a.c", "manager/driver.c") and "include" not in text:
                build = os.path.join(root, "build")
                out = os.path.join(build, "obj", path[:-2] + ".o")
                os.makedirs(os.path.dirname(out))
                subprocess.run(["cc", "-w", "-fno-builtin", "-c", "-o", out, full], check=True)
        return check_tree(root, build)


def selftest():
    bad = 0
    for rule, files in BROKEN.items():
        lines = run_on(files)
        rules = {line.split(": ")[1] for line in lines}
        if rules != {rule.strip()}:
            bad += 1
            print(f"selftest: {rule.strip()}: found {lines or 'nothing'}")
    lines = run_on(CLEAN)
    if lines:
        bad += 1
        print(f"selftest: a clean tree: found {lines}")
    print(f"selftest: {len(BROKEN) + 1} cases, {bad} wrong")
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build")
    parser.add_argument("--selftest", action="store_true")
    options = parser.parse_args()
    if options.selftest:
        return selftest()
    lines = check_tree(ROOT, options.build)
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
