"""The page of a drill in a real browser, as wide as a screen and as a telephone."""

import re
import subprocess

import pghalib.drill.report
import pytest
from drill_sample import outcome, result, verdict

BROWSER = "/usr/bin/chromium"
# Asks the page for what only a browser knows: errors, whether it is wider than the window, what the picture shows.
PROBE = """
<script>
window.faults = [];
window.addEventListener("error", event => window.faults.push(event.message));
window.addEventListener("load", () => {
  const picture = document.querySelector("svg").getBoundingClientRect();
  const wide = document.documentElement.scrollWidth > window.innerWidth;
  document.title = JSON.stringify({faults: window.faults, wide, height: Math.round(picture.height)});
});
</script>
"""


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_and_has_no_error(tmp_path, width, dark):
    text = pghalib.drill.report.page("test", outcome([result()], [verdict(7)]), {"Consul": "1.22.3"})
    (tmp_path / "page.html").write_text(text.replace("<head>", "<head>" + PROBE, 1))
    command = [
        *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},900"),
        *(f"--user-data-dir={tmp_path}/profile", "--enable-logging=stderr", "--dump-dom"),
        *(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []),
        f"file://{tmp_path}/page.html",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r"<title>(.*)</title>", done.stdout)[1]
    assert re.fullmatch(r'{"faults":\[\],"wide":false,"height":[1-9]\d\d}', found), found
