# SPDX-License-Identifier: GPL-2.0-only
"""./lab send: the mails of a series, to those who have to see them."""

import email
import email.policy
import hashlib
import os
import re
import subprocess
import textwrap

from . import model, packages, paths, process, ui
from .errors import PASS, SEND, USAGE, LabError
from .gates import sendable
from .source import outgoing, trees
from .source.sent import REFUSED, SENDING, SENT, Version, begun, last

LIMIT = 300                     # seconds for a mail; Net::SMTP gives up after 120
FATES = {"arrived": SENT, "lost": REFUSED}
# Nobody is added to the recipients that were shown, and nothing is asked.
_SEND = ("git", "-c", "sendemail.headerCmd=true", "send-email", "--quiet",
         "--confirm=never", "--no-annotate", "--no-format-patch", "--no-thread",
         "--suppress-cc=all", "--suppress-from", "--no-to", "--no-cc", "--no-bcc",
         "--to-cmd=true", "--8bit-encoding=UTF-8", "--smtp-debug=1")


def _series(name: str) -> model.Series:
    """The series or topic `name`; LabError USAGE if there is none to send."""
    series = model.find(name)
    if not series or series.parts or name == trees.TESTED.parent:
        raise LabError(f"{name!r} is nothing to send: series, or a topic of mainline/",
                       USAGE)
    return series


def _digest(series, head):
    """What tells whether a version is made of the series as it is now."""
    cover = series.path / model.COVER
    return hashlib.sha256(
        head.encode() + (cover.read_bytes() if cover.exists() else b"")).hexdigest()


def _prepare(version, changes):
    series, number, who = version.series, version.number, outgoing.sender()
    head, options = outgoing.signed(series, who), []
    if number > 1:
        before = Version(series, last(series)).ref
        start = trees.git("rev-list", "-1", f"--author=<{process.EMAIL}>", before)
        options = [f"-v{number}", f"--range-diff={start}..{before}"]
    outgoing.prepare(series, head, who, version.directory,
                     sendable.changes(series, number, changes), options)
    version.record("head", head)
    version.record("digest", _digest(series, head))


def _addresses(mail):
    """{"To": [Address], "Cc": [Address]} of a mail, and its subject."""
    message = email.message_from_bytes(mail.read_bytes(), policy=email.policy.default)
    return {field: getattr(message[field], "addresses", ())
            for field in ("To", "Cc")}, message["Subject"], message["Message-Id"]


def _show(version):
    """Say what goes to whom; the number of addresses."""
    journal, everybody = version.journal(), set()
    for mail in version.mails():
        addresses, subject, _ = _addresses(mail)
        ui.say(f"{journal.get(mail.name, ''):8}{subject}")
        for field, people in addresses.items():
            names = [who.addr_spec for who in people]
            ui.say(textwrap.fill(", ".join(names), 88, break_on_hyphens=False,
                                 initial_indent=f"        {field}: ",
                                 subsequent_indent=" " * 12) if names else "")
            everybody.update(names)
    ui.say(f"the mails are in {version.directory}")
    return len(everybody)


def _send(mail):
    """Let git send-email send a mail; (its fate, what was said). The fate is SENDING if
    nobody knows: the server had the mail, and has not said what it does with it."""
    words, late = [*_SEND], ""
    for field, people in _addresses(mail)[0].items():
        words += [f"--{field.lower()}={who}" for who in people]
    try:
        done = process.run([*words, mail], cwd=paths.ROOT, timeout=LIMIT,
                           env={"GIT_TERMINAL_PROMPT": "0"})
        said, status = done.stderr, done.returncode
    except subprocess.TimeoutExpired as err:
        said, status, late = err.stderr, 1, f"no answer in {LIMIT} s"
    replies = re.findall(r"<<< (\d{3})[ -](.*)", said)
    codes = [code for code, _ in replies]
    after = codes[codes.index("354") + 1:] if "354" in codes else []
    if not status or after[:1] == ["250"]:
        return SENT, ""
    # What git says to the server may be a password.
    own = "\n".join(line for line in said.splitlines() if "Net::SMTP" not in line)
    why = late or (" ".join(replies[-1]) if codes and codes[-1] >= "4" else
                   process.last_line(own) or "the server has hung up")
    known = after or "354" not in codes and (not late or "Net::SMTP" in said)
    return REFUSED if known else SENDING, why


def _deliver(version):
    """Send the mails that have not gone; an exit status. LabError SEND at the first that
    does not go."""
    series, letters, journal = version.series, version.mails(), version.journal()
    again = f"./lab send {series.name} --really"
    os.sync()                   # the mails are there as long as the journal is
    for number, mail in enumerate(letters, 1):
        fate, why = journal.get(mail.name), "the lab was stopped"
        if fate == SENT:
            continue
        if fate != SENDING:
            version.record(mail.name, SENDING)
            with ui.step(f"send {mail.name}", number, len(letters)):
                fate, why = _send(mail)
            version.record(mail.name, fate)
        if fate == REFUSED:
            raise LabError(f"{mail.name} did not go: {why}; {version}: {again} goes on "
                           "with the rest", SEND)
        if fate == SENDING:
            raise LabError(f"nobody knows whether {mail.name} went: {why}; {version}. "
                           f"Look for {_addresses(mail)[2]} at the list, then {again} "
                           "--fate arrived, or lost", SEND)
    trees.git("update-ref", version.ref, journal["head"])
    ui.conclusion(f"send: {version}: v{version.number} of {series.name} is out")
    return PASS


def _go_on(version, really, fate, abandon):
    """Go on with a version of which some mails went; an exit status."""
    series = version.series
    for mail in version.fated(SENDING) if fate else ():
        version.record(mail.name, FATES[fate])
    if abandon:
        trees.git("update-ref", version.ref, version.journal()["head"])
        ui.conclusion(f"send: v{version.number} ends as it is, {version}; the next is "
                      f"v{version.number + 1}")
        return PASS
    if not really:
        _show(version)
        ui.conclusion(f"send: {version} of v{version.number}: --really goes on with "
                      "the rest, --abandon ends it as it is")
        return PASS
    head = outgoing.signed(series, outgoing.sender())
    if version.journal()["digest"] != _digest(series, head):
        raise LabError(f"the series has changed since {version} of v{version.number}: "
                       f"put it back to go on, or ./lab send {series.name} --abandon "
                       f"ends that, and the next is v{version.number + 1}", USAGE)
    sendable.configured()
    return _deliver(version)


def run(name: str = "series", really: bool = False, reroll: int = 0, changes: str = "",
        fate: str = "", abandon: bool = False) -> int:
    """Say what would go to whom, and send it if `really`; an exit status.

    `reroll` is the number of the version, `changes` a file that says what is new in it.
    `fate`, arrived or lost, is of a mail that may have gone; `abandon` ends a version
    of which only some mails went. LabError SEND if a mail does not go.
    """
    series = _series(name)
    packages.need("source", "style", "send")
    with paths.lock("send", wait=False):
        trees.tree(trees.TESTED.name)       # has the scripts that are asked
        trees.update(name)
        version = begun(series)
        if version and reroll in (0, version.number):
            return _go_on(version, really, fate, abandon)
        if version or fate or abandon:
            raise LabError(f"v{version.number} is under way: {version}" if version else
                           "no version is under way", USAGE)
        if 0 < reroll <= last(series):
            raise LabError(f"v{last(series)} went: --reroll {last(series) + 1}", USAGE)
        version = Version(series, reroll or last(series) + 1)
        status = sendable.check(version, changes, really)
        if status:
            ui.conclusion("send: nothing went, see FAIL")
            return status
        _prepare(version, changes)
        people = _show(version)
        if really:
            return _deliver(version)
    ui.conclusion(f"send: v{version.number}, {len(version.mails())} mails to {people} "
                  "addresses: --really sends them")
    return PASS
