#!/usr/bin/env python3
"""The playground in Chromium: clicks, drags and reads it, in light and dark, wide and narrow.

    test_page.py RUBATO GOLDEN_FOLDER [SCREENSHOT_FOLDER]

Needs playwright and Debian's chromium; says so and passes where they are not installed. Prints 'N passed, N failed'.
"""
import json, os, shutil, sys

from service import PATIENCE, Service, check, finish, large, model, points, until

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


def worth():
    """A model of inference with points of every kind: a useless one beside the first that is worth its cost, one with
    narrow layers, one whose texts leave early."""
    folder, layers, names = large(3, 4, 64, 48), 4, ("contradiction", "neutral", "entailment")
    file = os.path.join(folder, "config.json")
    config = {**json.load(open(file)), "id2label": {str(i): n for i, n in enumerate(names)}, "label2id": {n: i for i, n in enumerate(names)}}
    json.dump(config, open(file, "w"))
    common = {"ms": None, "quality_error": 0.01, "keep": [1] * layers}
    listed = [{**common, "name": "useless", "quality": 0.51, "flops_ratio": 0.3}, {**common, "name": "near", "quality": 0.8, "flops_ratio": 0.31},
              {**common, "name": "narrow", "quality": 0.87, "flops_ratio": 0.32, "keep": [1, 1, None, 1], "heads": [0.5] * layers, "neurons": [0.25] * layers},
              {**common, "name": "sure", "quality": 0.88, "flops_ratio": 0.5, "flops_error": 0.02}]
    json.dump({"significance": "received", "metric": "accuracy", "full_quality": 0.9, "full_quality_error": 0.008, "held_out": 436, "points": listed},
              open(os.path.join(folder, "rubato.json"), "w"))
    return folder


various = Service(f"nli={worth()}", "--quiet", "--precision", "int8")
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

    # ---- A server that loads, points that are not worth their cost, pairs, widths, zero-shot ----
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(1000 * PATIENCE)
    tries = []
    def loading(route):
        tries.append(1)
        if len(tries) > 2: route.continue_()
        elif len(tries) == 1: route.fulfill(status=503, content_type="application/json", body='{"error": "the model is loading"}')
        else: route.abort()
    page.route("**/info", loading)
    page.goto(f"http://127.0.0.1:{various.port}/")
    soon("it waits for a server that loads", page, lambda: len(tries) > 2 or "not ready" in shown(page, "#server"))
    page.wait_for_selector("#rows td.on")
    check("and then has its answer", len(tries) == 3 and "kernels: " in shown(page, "#server") and page.locator("#answer .error").count() == 0, tries)
    check("zero-shot beside classification", page.locator("#model option").all_inner_texts() == ["nli (zero-shot, 4 layers)", "nli (classification, 4 layers)"])
    check("the precision is that of products", "Products in int8" in shown(page, "#model-note") and shown(page, "#precision") == "int8")
    soon("a bar for each label", page, lambda: page.locator("#answer .bar").count() == 3)
    soon("the words of the best label", page, lambda: "Best label" in shown(page, "#rows thead") and page.locator("#rows td.second.on").count() > 8)
    check("what was cut is said", "cut and not read" in shown(page, "#rows-note") and "reads 48" in shown(page, "#rows-note"), shown(page, "#rows-note"))
    check("the slider begins where it is worth it", page.get_attribute("#budget", "max") == "2" and shown(page, "#cheapest") == "0.32x", shown(page, "#cheapest"))
    check("and says what it leaves out", "leaves out 2 cheaper points" in shown(page, "#budget-note"), shown(page, "#budget-note"))
    check("the full model stands in the picture", page.locator("#frontier circle.point.full").count() == 1 and "90.00 ± 0.80" in shown(page, "#frontier-note") and "436 examples" in shown(page, "#frontier-note"), shown(page, "#frontier-note"))
    check("with errors", page.locator("#frontier .error-bar").count() == 3, page.locator("#frontier .error-bar").count())
    page.select_option("#model", index=1)
    page.fill("#text", "hello world"); page.fill("#second", "abc")
    page.focus("#budget"); page.keyboard.press("ArrowLeft")
    soon("exits: on average", page, lambda: shown(page, "#budget-now") == "0.50x on average" and shown(page) == "sure")
    page.keyboard.press("ArrowLeft")
    soon("widths", page, lambda: shown(page) == "narrow" and page.locator("#rows tbody .size").all_inner_texts() == ["1 of 2", "64 of 256"] * 2 + ["", ""] + ["1 of 2", "64 of 256"])
    soon("both texts of a pair", page, lambda: page.locator("#rows tr.texts th").all_inner_texts()[-2:] == ["Text", "Second text"] and page.locator("#rows tbody tr:first-child td.second").count() == 3)
    page.fill("#second", "")
    soon("one text has no heading", page, lambda: page.locator("#rows tr.texts").count() == 0 and page.locator("#rows td.second").count() == 0)

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
check("stops", s.stop() == 0 and locked.stop() == 0 and various.stop() == 0)
finish()
