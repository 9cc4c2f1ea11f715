#!/usr/bin/env python3
"""The playground in Chromium: clicks, drags and reads it, in light and dark, wide and narrow.

    test_page.py RUBATO GOLDEN_FOLDER [SCREENSHOT_FOLDER]

Needs playwright and Debian's chromium; says so and passes where they are not installed. Prints 'N passed, N failed'.
"""
import os, shutil, sys

from service import Service, check, finish, model, points

try: from playwright.sync_api import sync_playwright
except ImportError: sync_playwright = None
chromium = shutil.which("chromium")
if not sync_playwright or not chromium:
    print("playwright or chromium is not installed: nothing was looked at")
    sys.exit(0)
shots = sys.argv[3] if len(sys.argv) > 3 else None
classify = points(model("bert", "BertForSequenceClassification", id2label={"0": "no", "1": "maybe", "2": "yes"}), ("third", 0.8, 0.35, 0.3), ("half", 0.9, 0.6, 0.6))
tag = model("bert", "BertForTokenClassification", id2label={"0": "O", "1": "B-X", "2": "I-X"})
s = Service(f"c={classify}", f"e={model('bert', 'BertModel')}", f"t={tag}", f"q={model('bert', 'BertForQuestionAnswering')}", f"f={model('bert', 'BertForMaskedLM')}", "--quiet", "--slo", "5s",
            env={"XDG_CACHE_HOME": os.path.join(classify, "cache")})
locked = Service(classify, "--quiet", "--api-key", "secret")
url = f"http://127.0.0.1:{s.port}/"

with sync_playwright() as p:
    browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

    def open_page(url=url, **more):
        page = browser.new_page(**more)
        page.problems = []
        page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.problems.append(str(e)))
        page.on("request", lambda r: page.problems.append("fetched " + r.url) if not r.url.startswith((url, "data:")) else None)
        page.goto(url)
        return page

    def settle(page):
        page.wait_for_timeout(100)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(100)

    page = open_page(viewport={"width": 1200, "height": 1000})
    page.wait_for_selector("#rows td.on")
    settle(page)
    check("the server is described", "5000 ms" in page.inner_text("#server"), page.inner_text("#server"))
    check("five models", page.locator("#model option").count() == 5)
    check("full at first", page.inner_text("#point") == "full" and page.inner_text("#budget-now").startswith("full"), page.inner_text("#point"))
    check("three labels", page.locator("#answer .bar").count() == 3)
    lit = page.locator("#rows td.on").count()
    check("every cell is lit at full cost", lit == page.locator("#rows td").count() and lit > 10, lit)

    # the slider, by mouse and by keyboard
    box = page.locator("#budget").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down(); page.mouse.move(box["x"] + 4, box["y"] + box["height"] / 2, steps=8); page.mouse.up()
    settle(page)
    fewer = page.locator("#rows td.on").count()
    check("dragged to the cheapest", page.inner_text("#point") == "third" and 0 < fewer < lit, page.inner_text("#point"), fewer, lit)
    check("its cost", 0.2 < float(page.inner_text("#ratio")[:-1]) < 1, page.inner_text("#ratio"))
    check("the full answer is marked beside it", page.locator("#answer .track b").count() == 3)
    page.focus("#budget"); page.keyboard.press("ArrowRight"); settle(page)
    check("keyboard: one up", page.inner_text("#point") == "half", page.inner_text("#point"))
    check("read aloud", page.get_attribute("#budget", "aria-valuetext") == "0.60x", page.get_attribute("#budget", "aria-valuetext"))
    check("the frontier shows it", page.locator("#frontier circle.current").count() == 1 and page.locator("#frontier circle.point").count() == 2)
    page.click("#frontier circle.hit[data-point=third]"); settle(page)
    check("a click on the frontier", page.inner_text("#point") == "third", page.inner_text("#point"))
    page.fill("#text", "hello world"); settle(page); page.wait_for_timeout(400); settle(page)
    check("typing", [t.lower() for t in page.locator("#rows thead span").all_inner_texts()][:2] == ["[cls]", "hello"] or len(page.locator("#rows thead span").all_inner_texts()) > 3, page.locator("#rows thead span").all_inner_texts())
    page.fill("#text", ""); page.wait_for_timeout(500)
    check("nothing typed", "Type something" in page.inner_text("#answer"))

    # the other tasks
    for index, selector, text, second in ((1, "#answer .bar", "hello", "world\nfoo"), (2, "#answer p", "a world", None), (3, "#answer .bar", "a", "b c"), (4, "#answer .bar", "a [MASK]", None)):
        page.select_option("#model", index=index)
        settle(page)
        if second: page.fill("#second", second)
        page.fill("#text", text)
        page.wait_for_timeout(400)
        page.wait_for_selector(selector); settle(page)
        check(f"model {index} answers", page.locator("#answer .error").count() == 0, page.inner_text("#answer"))
        check(f"model {index} has no cheaper points", page.is_disabled("#budget"))
    page.problems = [x for x in page.problems if "422" not in x]  # the example is longer than this small model reads
    check("no errors, nothing fetched from elsewhere", not page.problems, page.problems)

    for name, more in (("light", {"viewport": {"width": 1200, "height": 900}}), ("dark", {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"}),
                       ("narrow", {"viewport": {"width": 360, "height": 800}, "has_touch": True})):
        page = open_page(**more)
        page.wait_for_selector("#rows td.on"); settle(page)
        wide = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        check(f"{name}: no sideways scrolling", wide)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        check(f"{name}: its colours", (sum(map(int, background[4:-1].split(","))) < 200) == (name == "dark"), background)
        if shots: page.screenshot(path=os.path.join(shots, f"page-{name}.png"), full_page=True)

    page = open_page(f"http://127.0.0.1:{locked.port}/")
    page.wait_for_selector("#key", state="visible")
    page.fill("#token", "secret"); page.keyboard.press("Tab")
    page.wait_for_selector("#rows td.on")
    check("an API key", page.locator("#answer .bar").count() == 3)

    page = open_page(url + "docs")
    page.wait_for_selector("details")
    check("docs list every path", page.locator("details").count() > 20 and page.get_by_text("POST /v1/embeddings").count() == 1, page.locator("details").count())
    page.click("details >> nth=0")
    check("and show an example", "curl" in page.inner_text("details >> nth=0"), page.inner_text("details >> nth=0"))
    browser.close()
check("stops", s.stop() == 0 and locked.stop() == 0)
finish()
