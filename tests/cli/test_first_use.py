#!/usr/bin/env python3
"""What a new user meets: help, misspelled words, the models that come with Rubato, wherever it was installed.

    test_first_use.py RUBATO GOLDEN_FOLDER

Prints 'N passed, N failed'.
"""
import os, shutil, subprocess

from program import check, finish, golden, one_line, path, rubato, run

# ---- Words ----

for word, meant in (("embedd", "embed"), ("clasify", "classify"), ("seach-text", "search-text"), ("qunatize", "quantize"), ("inof", "info")):
    r = run(word)
    check(f"{word} is answered with {meant}", r.status == 2 and one_line(r) and f"did you mean {meant}?" in r.err, r)
    r = run("help", word)
    check(f"help {word}", r.status == 2 and f"did you mean {meant}?" in r.err, r)
for word in ("x", "frobnicate", "sentiment", "e" * 300, ""):
    r = run(word)
    check(f"{word[:20]} is like no command", r.status == 2 and one_line(r) and "rubato --help" in r.err and "did you mean" not in r.err, r)
for word, meant in (("--bugdet", "--budget"), ("--bugdet=0.4x", "--budget"), ("--thread", "--threads"), ("--jsn", "--json")):
    r = run("classify", os.path.join(golden, "bert"), word)
    check(f"{word} is answered with {meant}", r.status == 2 and one_line(r) and f"did you mean {meant}?" in r.err, r)
r = run("classify", os.path.join(golden, "bert"), "--frobnicate")
check("an option like no other", r.status == 2 and one_line(r) and "did you mean" not in r.err and "rubato classify --help" in r.err, r)
check("help COMMAND", run("help", "embed").out == run("embed", "--help").out != "")
check("help", run("help").out == run("--help").out and "rubato classify sentiment" in run("--help").out)

# ---- bench ----

r = run("bench", os.path.join(golden, "bert"), "--batch", 1, "--json")
check("bench measures as far as the model takes it", r.status == 0 and [row["length"] for row in r.json()[0]["rows"]] == [8, 19], r)
check("a length that was asked for is not cut", run("bench", os.path.join(golden, "bert"), "--batch", 1, "--length", "8,32").status != 0)

# ---- Models by name ----

def installed(folder):
    """An installation in a folder, with one model."""
    os.makedirs(os.path.join(folder, "bin"))
    shutil.copy(rubato, os.path.join(folder, "bin/rubato"))
    shutil.copytree(os.path.join(golden, "bert"), os.path.join(folder, "share/rubato/models/tiny"))
    return os.path.join(folder, "bin/rubato")


def info(program, cwd): return subprocess.run([program, "info", "tiny", "--json"], cwd=cwd, capture_output=True, text=True)


elsewhere = path("elsewhere")
os.makedirs(elsewhere)
program = installed(path("one/prefix"))
r = info(program, elsewhere)
check("an installed model by its name", r.returncode == 0 and '"family"' in r.stdout, r)
shutil.move(path("one/prefix"), path("moved"))
r = info(path("moved/bin/rubato"), elsewhere)
check("after the installation was moved", r.returncode == 0, r)
os.symlink(path("moved/bin/rubato"), path("link"))
check("through a link", info(path("link"), elsewhere).returncode == 0)
os.makedirs(path("source/build"))
shutil.copy(rubato, path("source/build/rubato"))
shutil.copytree(os.path.join(golden, "bert"), path("source/models/tiny"))
check("beside the build folder", info(path("source/build/rubato"), elsewhere).returncode == 0)
shutil.rmtree(path("moved/share"))
r = info(path("moved/bin/rubato"), elsewhere)
check("no such model", r.returncode == 1 and "tiny" in r.stderr, r)

finish()
