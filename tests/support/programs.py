# SPDX-License-Identifier: Apache-2.0
"""HTTP clients as people have them, each as the words that fetch addresses with it.

Every one prints the pages on standard output; when one of the addresses cannot be had it says so on standard error (an answer that is an
error prints its status line there, as "STATUS REASON") and ends with an exit status that is not 0. What they trust and whether they use a proxy
comes from the environment: Internet.environment() and proxy variables.
"""

import hashlib
import os
import shutil
import subprocess

from internet import PYTHON, ROOT
from tap import fail


def need(program):
    return shutil.which(program) or fail(f"{program} is missing; tests/deps.sh installs it")


def curl(*urls):
    """Shows refusals, too: head and body of an answer that is an error go to standard output, and the exit status is 22."""
    return [need("curl"), "-sS", "-m", "15", "--fail-with-body", *urls]


def wget(net, *urls):
    """(It does not read SSL_CERT_FILE.)"""
    return [need("wget"), "-nv", "--tries=1", "--timeout=15", f"--ca-certificate={net.ca}", "-O", "-", *urls]


URLLIB = """
import sys, urllib.request, urllib.error
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=15).read().decode())
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code} {error.reason}\\n{error.read().decode()}")
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")
"""

REQUESTS = """
import sys, requests
with requests.Session() as session:
    for url in sys.argv[1:]:
        try:
            answer = session.get(url, timeout=15)
        except requests.exceptions.RequestException as error:
            sys.exit(f"{type(error).__name__}: {error}")
        if answer.status_code != 200:
            sys.exit(f"{answer.status_code} {answer.reason}\\n{answer.text}")
        print(answer.text)
"""

HTTPX = """
import sys, httpx
with httpx.Client(timeout=15) as client:
    for url in sys.argv[1:]:
        try:
            answer = client.get(url)
        except httpx.HTTPError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        if answer.status_code != 200:
            sys.exit(f"{answer.status_code} {answer.reason_phrase}\\n{answer.text}")
        print(answer.text)
"""

FETCH = """
(async () => {
    for (const url of process.argv.slice(1)) {
        try {
            const answer = await fetch(url);
            const text = await answer.text();
            if (!answer.ok) {
                console.error(answer.status, answer.statusText + '\\n' + text);
                process.exit(1);
            }
            console.log(text);
        } catch (error) {
            console.error(String(error), String(error.cause));
            process.exit(1);
        }
    }
})();
"""

# The proxy is told by NONO_PROXY_URL and NONO_PROXY_TOKEN: Bearer, where others send Basic.
UNDICI = """
const { ProxyAgent, setGlobalDispatcher, fetch } = require('undici');
setGlobalDispatcher(new ProxyAgent({ uri: process.env.NONO_PROXY_URL, token: 'Bearer ' + process.env.NONO_PROXY_TOKEN }));
""" + FETCH

GO = """package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func get(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != 200 {
		return fmt.Errorf("%s\\n%s", response.Status, body)
	}
	_, err = os.Stdout.Write(body)
	return err
}

func main() {
	for _, url := range os.Args[1:] {
		if err := get(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
"""


def urllib(*urls):
    return [PYTHON, "-c", URLLIB, *urls]


def requests(*urls):
    return [PYTHON, "-c", REQUESTS, *urls]


def httpx(*urls):
    return [PYTHON, "-c", HTTPX, *urls]


def fetch(*urls):
    """Node's own."""
    return [need("node"), "-e", FETCH, *urls]


def undici(*urls):
    """Debian's undici with a ProxyAgent, in whichever Node is here (vendors' Nodes do not look into Debian's folder by themselves)."""
    return ["env", "NODE_PATH=/usr/share/nodejs", need("node"), "-e", UNDICI, *urls]


def go(*urls):
    """Go's net/http with Go's own resolver. Built once for all test files: that takes a quarter of a minute."""
    compiler = need("go")
    version = subprocess.run([compiler, "version"], capture_output=True, text=True, check=True).stdout
    folder = os.path.join(ROOT, "build/clients")
    program = os.path.join(folder, "get-" + hashlib.sha256((version + GO).encode()).hexdigest()[:16])
    if not os.path.exists(program):
        own = os.path.join(folder, f"go-{os.getpid()}")
        os.makedirs(own)
        try:
            with open(os.path.join(own, "get.go"), "w", encoding="utf-8") as file:
                file.write(GO)
            env = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "", "HOME": own,
                   "GOCACHE": os.path.join(own, "cache"), "GOPATH": os.path.join(own, "path")}
            subprocess.run([compiler, "build", "-o", "get", "get.go"], check=True, env=env, cwd=own)
            os.rename(os.path.join(own, "get"), program)
        finally:
            shutil.rmtree(own, ignore_errors=True)
    return [program, *urls]


def git_round_trip(url, folder):
    """Clones from git's own server, pushes a branch with a file too large for one buffer, and clones that again: a shell script."""
    return ["sh", "-e", "-c", """
    export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.com GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.com
    branch=b$$
    git clone -q "$1" "$2/one"
    cd "$2/one"
    git checkout -q -b "$branch"
    head -c 3000000 /dev/urandom >large
    git add large
    git commit -q -m large
    git push -q "$1" "$branch"
    cd ..
    git clone -q -b "$branch" "$1" "$2/two"
    cmp one/large two/large && cat two/hello.txt
""", "sh", url, folder]
