"""How missing Debian packages are installed, with an apt of the test's own on PATH."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "sdk/apt.sh"

# The fakes keep their state in files: `lists` are the candidates that apt knows, `archive` those after an update, `have` what is
# installed, `said` what was asked of apt-get. Packages in `stale` cannot be fetched until the lists are.
FAKES = {
    "dpkg-query": """for last; do :; done; grep -qx "$last" have && echo installed""",
    "apt-cache": """case $1 in
  policy) if grep -qx "$2" lists; then printf '%s:\\n  Installed: (none)\\n  Candidate: 1.0\\n' "$2"
          elif [ "$2" = rust-web-src ]; then printf '%s:\\n  Installed: (none)\\n  Candidate: (none)\\n' "$2"; fi ;;
  pkgnames) grep "^$2" lists ;;
  show) grep -qxF "$(shift; printf '%s\\n' "$@")" lists ;;
esac""",
    "apt-get": """echo "$*" >>said
case $1 in
  update) [ ! -e offline ] && cp archive lists && rm -f stale ;;
  install) for name; do case $name in install|-*) continue ;; esac
    grep -qx "$name" lists || { echo "E: Unable to locate package $name" >&2; exit 100; }
    if [ -e stale ] && grep -qx "$name" stale; then echo "E: 404 Not Found" >&2; exit 100; fi
    echo "$name" >>have; done ;;
esac""",
}


class Machine:
    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "bin").mkdir()
        for name, body in FAKES.items():
            tool = folder / "bin" / name
            tool.write_text(f"#!/bin/sh\ncd {folder}\n{body}\n")
            tool.chmod(0o755)
        for name in ("lists", "archive", "have", "said"):
            (folder / name).write_text("")

    def write(self, **files: list[str]) -> None:
        for name, names in files.items():
            (self.folder / name).write_text("".join(f"{n}\n" for n in names))

    def install(self, *names: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "AIRLOCK_APT_UNPRIVILEGED": "1"}
        return subprocess.run([SCRIPT, "install", *names], env=env, capture_output=True, text=True, timeout=60)

    def have(self) -> list[str]:
        return (self.folder / "have").read_text().split()

    def updates(self) -> int:
        return (self.folder / "said").read_text().count("update")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


NEEDED = ("rustc-web", "rust-web-src", "lld-22|lld-*|lld")


def test_lists_that_know_only_some_of_the_packages_are_fetched(machine: Machine) -> None:
    machine.write(lists=["rustc-web"], archive=["rustc-web", "rust-web-src", "lld-22"])
    done = machine.install(*NEEDED)
    assert done.returncode == 0, done.stderr
    assert machine.have() == ["rustc-web", "rust-web-src", "lld-22"] and machine.updates() == 1


def test_lists_that_know_all_are_not_fetched(machine: Machine) -> None:
    machine.write(lists=["rustc-web", "rust-web-src", "lld-22"])
    assert machine.install(*NEEDED).returncode == 0
    assert machine.updates() == 0


def test_a_release_without_that_lld_gives_its_newest(machine: Machine) -> None:
    machine.write(lists=["rustc-web", "rust-web-src", "lld-9", "lld-19", "lld-19-doc", "lld"])
    assert machine.install(*NEEDED).returncode == 0
    assert machine.have()[-1] == "lld-19"


def test_what_is_installed_costs_nothing_whichever_it_is(machine: Machine) -> None:
    machine.write(have=["rustc-web", "rust-web-src", "lld-16"], lists=["lld-16"])
    done = machine.install(*NEEDED)
    assert (done.returncode, (machine.folder / "said").read_text()) == (0, ""), done.stderr


def test_packages_that_were_replaced_since_are_fetched_after_an_update(machine: Machine) -> None:
    known = ["rustc-web", "rust-web-src", "lld-22"]
    machine.write(lists=known, archive=known, stale=["lld-22"])
    done = machine.install(*NEEDED)
    assert done.returncode == 0, done.stderr
    assert machine.updates() == 1 and machine.have()[-1] == "lld-22"


@pytest.mark.parametrize("offline", [True, False])
def test_what_still_fails_says_which_package_and_what_to_do(machine: Machine, offline: bool) -> None:
    machine.write(lists=["rustc-web", "lld"], archive=["rustc-web", "lld"])
    if offline:
        machine.write(offline=[])
    done = machine.install(*NEEDED)
    assert done.returncode != 0
    assert "rust-web-src" in done.stderr and "/etc/apt" in done.stderr and "rustc-web:" not in done.stderr
    assert machine.updates() == 1 and machine.have() == []
