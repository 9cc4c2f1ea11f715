#!/usr/bin/env python3
"""The playground in Chromium: clicks, drags and reads it, in light and dark, wide and narrow.

    test_page.py RUBATO GOLDEN_FOLDER [SCREENSHOT_FOLDER]

Needs playwright and Debian's chromium; says so and passes where they are not installed. Prints 'N passed, N failed'.
"""
import os, shutil, sys

from service import PATIENCE, Service, check, finish, model, points, until

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
        page.set_default_timeout(1000 * PATIENCE)
        page.problems = []
        page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.problems.append(str(e)))
        page.on("request", lambda r: page.problems.append("fetched " + r.url) if not r.url.startswith((url, "data:")) else None)
        page.goto(url)
        return page

    def shown(page, selector="#point"): return page.locator(selector).first.inner_text()

    def soon(what, page, condition):
        """The page answers a moment after it is touched: waits until it says so."""
        def look():
            page.wait_for_timeout(20)  # lets its events through
            return condition()
        check(what, until(look), shown(page), shown(page, "#budget-now"), shown(page, "#answer"))

    page = open_page(viewport={"width": 1200, "height": 1000})
    page.wait_for_selector("#rows td.on")
    soon("the server is described", page, lambda: "5000 ms" in shown(page, "#server"))
    soon("five models", page, lambda: page.locator("#model option").count() == 5)
    soon("full at first", page, lambda: shown(page) == "full" and shown(page, "#budget-now").startswith("full"))
    soon("three labels", page, lambda: page.locator("#answer .bar").count() == 3)
    lit = page.locator("#rows td.on").count()
    check("every cell is lit at full cost", lit == page.locator("#rows td").count() and lit > 10, lit)

    # the slider, by mouse and by keyboard
    box = page.locator("#budget").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down(); page.mouse.move(box["x"] + 4, box["y"] + box["height"] / 2, steps=8); page.mouse.up()
    soon("dragged to the cheapest", page, lambda: shown(page) == "third" and 0 < page.locator("#rows td.on").count() < lit)
    soon("its cost", page, lambda: 0.2 < float(shown(page, "#ratio")[:-1]) < 1)
    soon("the full answer is marked beside it", page, lambda: page.locator("#answer .track b").count() == 3)
    page.focus("#budget"); page.keyboard.press("ArrowRight")
    soon("keyboard: one up", page, lambda: shown(page) == "half")
    soon("read aloud", page, lambda: page.get_attribute("#budget", "aria-valuetext") == "0.60x")
    soon("the frontier shows it", page, lambda: page.locator("#frontier circle.current").count() == 1 and page.locator("#frontier circle.point").count() == 2)
    page.click("#frontier circle.hit[data-point=third]")
    soon("a click on the frontier", page, lambda: shown(page) == "third")
    tokens = lambda: page.locator("#rows thead span").all_inner_texts()
    before = tokens()
    page.fill("#text", "hello world")
    soon("typing", page, lambda: tokens() != before and ([t.lower() for t in tokens()][:2] == ["[cls]", "hello"] or len(tokens()) > 3))
    page.fill("#text", "")
    soon("nothing typed", page, lambda: "Type something" in shown(page, "#answer"))

    # the other tasks
    for index, selector, text, second in ((1, "#answer .bar", "hello", "world\nfoo"), (2, "#answer p", "a world", None), (3, "#answer .bar", "a", "b c"), (4, "#answer .bar", "a [MASK]", None)):
        page.fill("#text", "")  # so that no answer of the model before is left
        until(lambda: page.wait_for_timeout(20) or "Type something" in shown(page, "#answer"))
        page.select_option("#model", index=index)
        if second: page.fill("#second", second)
        page.fill("#text", text)
        page.wait_for_selector(selector)
        soon(f"model {index} answers", page, lambda: page.locator(selector).count() > 0 and page.locator("#answer .error").count() == 0)
        soon(f"model {index} has no cheaper points", page, lambda: page.is_disabled("#budget"))
    page.wait_for_load_state("networkidle")
    page.problems = [x for x in page.problems if "422" not in x]  # the example is longer than this small model reads
    check("no errors, nothing fetched from elsewhere", not page.problems, page.problems)

    for name, more in (("light", {"viewport": {"width": 1200, "height": 900}}), ("dark", {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"}),
                       ("narrow", {"viewport": {"width": 360, "height": 800}, "has_touch": True})):
        page = open_page(**more)
        page.wait_for_selector("#rows td.on")
        wide = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        check(f"{name}: no sideways scrolling", wide)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        check(f"{name}: its colours", (sum(map(int, background[4:-1].split(","))) < 200) == (name == "dark"), background)
        if shots: page.screenshot(path=os.path.join(shots, f"page-{name}.png"), full_page=True)

    page = open_page(f"http://127.0.0.1:{locked.port}/")
    page.wait_for_selector("#key", state="visible")
    page.fill("#token", "secret"); page.keyboard.press("Tab")
    page.wait_for_selector("#rows td.on")
    soon("an API key", page, lambda: page.locator("#answer .bar").count() == 3)

    page = open_page(url + "docs")
    page.wait_for_selector("details")
    check("docs list every path", page.locator("details").count() > 20 and page.get_by_text("POST /v1/embeddings").count() == 1, page.locator("details").count())
    page.click("details >> nth=0")
    check("and show an example", "curl" in page.inner_text("details >> nth=0"), page.inner_text("details >> nth=0"))
    browser.close()
check("stops", s.stop() == 0 and locked.stop() == 0)
finish()
