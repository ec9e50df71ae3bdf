#!/usr/bin/python3
"""The server's page in a real browser (Debian's chromium, chromium-driver and python3-selenium): it
loads without console errors, its charts move, and a job submitted in it shows its report.
Usage: server_page.py http://HOST:PORT [SCREENSHOT.png]"""

import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

BASE = sys.argv[1]
WAIT_S = 60


def expect(what, good, got=""):
    if not good:
        sys.exit(f"{what}: {got}")


def browser(profile):
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 "--window-size=1200,1600", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


def run_job(page, language, program, given=""):
    Select(page.find_element(By.ID, "language")).select_by_value(language)
    for field, text in (("program", program), ("input", given)):
        element = page.find_element(By.ID, field)
        element.clear()
        element.send_keys(text)
    page.execute_script("document.getElementById('outcome').textContent = ''")
    page.find_element(By.ID, "submit").click()
    WebDriverWait(page, WAIT_S).until(lambda p: p.find_element(By.ID, "outcome").text)
    return (page.find_element(By.ID, "outcome").text, page.find_element(By.ID, "stdout").text,
            page.find_element(By.ID, "stderr").text)


def points(page):
    return page.execute_script("return charts.jobs.data.labels.length")


def check(page):
    page.get(BASE + "/")
    WebDriverWait(page, WAIT_S).until(lambda p: "slots" in p.find_element(By.ID, "host").text)
    WebDriverWait(page, WAIT_S).until(lambda p: points(p) > 0)
    begun = points(page)

    got = run_job(page, "sh", "read name\necho hello $name\necho oops >&2\nexit 3", "world")
    expect("a shell program", got == ("nonzero exit", "hello world", "oops"), got)
    got = run_job(page, "python3", "print(6 * 7)")
    expect("a Python program", got[:2] == ("accepted", "42"), got)
    got = run_job(page, "cpp", "#include <cstdio>\nint main() { puts(\"compiled\"); }")
    expect("a C++ program", got[:2] == ("accepted", "compiled"), got)
    figures = page.find_element(By.ID, "figures").text
    expect("its figures", "ms of CPU" in figures and "MiB" in figures, figures)
    report = page.find_element(By.ID, "report").get_attribute("textContent")
    expect("its report", '"memory_peak_bytes"' in report, report[:200])

    # A name that would be markup must stay text.
    got = run_job(page, "sh", "echo '<img src=x onerror=alert(1)>'")
    expect("markup in an output", got[1] == "<img src=x onerror=alert(1)>", got)
    page.find_element(By.ID, "program").clear()

    WebDriverWait(page, WAIT_S).until(lambda p: points(p) >= begun + 3)
    WebDriverWait(page, WAIT_S).until(
        lambda p: p.execute_script("return charts.jobs.data.datasets[0].data.reduce((a, b) => a + b, 0)") >= 4)
    outcomes = page.execute_script("return charts.outcomes.data.labels")
    expect("outcomes in the chart", "accepted" in outcomes and "nonzero exit" in outcomes, outcomes)
    rows = page.find_elements(By.CSS_SELECTOR, "#recent tr")
    expect("recent jobs", len(rows) >= 4, len(rows))
    if len(sys.argv) > 2:
        page.save_screenshot(sys.argv[2])
    problems = [entry for entry in page.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    expect("the console", not problems, problems)


def main():
    with tempfile.TemporaryDirectory() as profile:
        page = browser(profile)
        try:
            check(page)
        finally:
            page.quit()
    print("the page is well")


main()
