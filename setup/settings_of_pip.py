"""Print what pip is told of mirrors, certificates and local packages as shell settings for uv.

Settings of uv itself, in its files or variables, take precedence.
"""

import ast
import os
import shlex
import subprocess
import sys

VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
}
"""For each setting of pip the variable of uv, and what stands between several values."""
SECTIONS = ("global", "install", ":env:")
"""Later ones take precedence in pip."""

listed = subprocess.run(
    [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
).stdout
settings = {}
for line in listed.splitlines():
    name, _, value = line.partition("=")
    section, _, key = name.rpartition(".")
    if section in SECTIONS and key in VARIABLES:
        settings[SECTIONS.index(section), key] = ast.literal_eval(value)
# pip compares what all places offer, where uv would take the first that has the package at all.
exported = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
for (_, key), value in sorted(settings.items()):
    variable, between = VARIABLES[key]
    exported[variable] = between.join(value.split())
for variable, value in exported.items():
    if variable not in os.environ:
        sys.stdout.write(f"export {variable}={shlex.quote(value)}\n")
