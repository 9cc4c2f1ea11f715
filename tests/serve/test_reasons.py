#!/usr/bin/env python3
"""What the program and the server say of the instruction set, and why it has no tiles.

    test_tiles.py RUBATO GOLDEN_FOLDER
"""
import os

from service import Service, check, finish, large, run

bert = large(2, 2, 64, 32)
machine = run("--version", "--json").json()[0]["no_tiles"]  # "" where the processor has tiles and the system permits them
ASKED = "another instruction set was asked for"


def named(object): return {k: object[k] for k in ("isa", "kernels", "no_tiles")}


def words(facts): return facts["kernels"] + ("; no tiles: " + facts["no_tiles"] if facts["no_tiles"] else "")


# ---- The reason: the machine, the precision, the caller ----
for precision in ("f32", "bf16", "int8"):
    facts = named(run("info", bert, "--json", "--precision", precision).json()[0])
    check(f"{precision}: the reason", facts["no_tiles"] == (machine or ("products in f32 use none" if precision == "f32" else "")), facts, machine)
    check(f"{precision}: tiles are named", (facts["isa"] == "amx") == (machine == ""), facts, machine)
scalar = {"isa": "scalar", "kernels": "portable C", "no_tiles": ASKED}
check("--isa", named(run("info", bert, "--json", "--precision", "int8", "--isa", "scalar").json()[0]) == scalar)
check("RUBATO_ISA", named(run("info", bert, "--json", env={"RUBATO_ISA": "scalar"}).json()[0]) == scalar)
untiled = named(run("info", bert, "--json", "--isa", "untiled").json()[0])
check("--isa untiled", untiled["isa"] != "amx" and untiled["no_tiles"] == ASKED, untiled)

# ---- Every command that names the kernels ----
cache = {"XDG_CACHE_HOME": os.path.join(bert, "cache")}
small = ("--batch", 1, "--length", 8)
for given in ((), ("--isa", "scalar")):
    facts = named(run("info", bert, "--json", *given).json()[0])
    for name, arguments, where in (("info", (), "kernels      {}\n"), ("bench", small, "; kernels: {}; "), ("calibrate", (), ", kernels: {}; one text")):
        r = run(name, bert, *arguments, *given, env=cache)
        check(f"{name} {given}", r.status == 0 and r.out.count(where.format(words(facts))) == 1, r, facts)
    check(f"bench --json {given}", named(run("bench", bert, "--json", *small, *given).json()[0]["machine"]) == facts)
    r = run("calibrate", bert, "--json", *given, env=cache)
    check(f"calibrate --json {given}", named(r.json()[0]) == facts, r)
    s = Service(f"one={bert}", f"two={bert}", "--quiet", *given)
    check(f"the banner {given}", any(f"(kernels: {words(facts)}; " in line for line in s.log), s.log)
    check(f"/info {given}", [named(m) for m in s.get("/info")[2]["models"]] == [facts] * 2)
    check(f"/metrics {given}", f'isa="{facts["isa"]}",no_tiles="{facts["no_tiles"]}"}} 1' in s.get("/metrics")[2])
    s.stop()
finish()
