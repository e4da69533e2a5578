# SPDX-License-Identifier: GPL-2.0-only
"""send: every mail goes once, to the right people, whatever the server does."""

import contextlib
import email
import email.policy
import io
import os
import shutil
import subprocess
import unittest
from pathlib import Path
from unittest import mock

from harness import cli, model, packages, paths, process, send
from harness.errors import PASS, SEND, STYLE, USAGE
from harness.gates import checkpatch
from harness.source import mails, outgoing, trees
from harness.tests import DIRECT, HMM, Sandbox, edited

LACKING = packages.missing("send", "smtp") if shutil.which("dpkg-query") else ["Debian"]
SERIES = model.SERIES["series"]
DMA, MM, NEW = "kernel/dma/direct.c", "mm/hmm.c", "mm/new.c"
MAINTAINERS = f"""\
{DMA}: "Dee (Ma)" <dma@example.org> (maintainer:DMA (MAPPING))
{DMA}: dma-list@example.org (open list:DMA (MAPPING))
{MM}: Élan Vital <mm@example.org> (reviewer:HMM)
{MM}: mm-list@example.org (moderated list:HMM)
{NEW}: all-list@example.org (open list)
"""
ASK = """#!/bin/sh
for mail; do :; done
sed -n 's|^+++ b/||p' "$mail" | while read -r file; do
    sed -n "s|^$file: ||p" MAINTAINERS; done
"""
# What a user may have configured, and has to be without effect here.
HABITS = {"suppresscc": "body", "to": "to@example.org", "cc": "cc@example.org",
          "bcc": "bcc@example.org", "tocmd": "echo cmd@example.org", "thread": "true",
          "cccmd": "echo cmd@example.org", "signedoffbycc": "true", "annotate": "true",
          "confirm": "always", "suppressfrom": "false", "assume8bitencoding": "latin1"}
ALL = {"dma@example.org", "dma-list@example.org", "mm@example.org",
       "mm-list@example.org", "stable@example.org", "all-list@example.org"}


@unittest.skipIf(LACKING, f"missing: {' '.join(LACKING)}")
class Send(Sandbox):
    def setUp(self):
        super().setUp()
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            del os.environ[name]
        os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
        self.enter(mock.patch.object(checkpatch, "_PATH", os.environ["PATH"]))
        self.enter(mock.patch("os.sync"))       # which waits for what others write, too
        self.enter(mock.patch("os.fsync"))
        self.program("codespell", "")
        os.environ["LINUX_TARBALL"] = str(self.kernel(**{
            "MAINTAINERS": MAINTAINERS, "scripts/get_maintainer.pl": ASK,
            "scripts/checkpatch.pl": "#!/bin/sh\n"}))
        based = edited(DIRECT, 5, "based for sending")
        self.mails(self.root / "base", ("base", {DMA: based}))
        self.mails(SERIES.path,
                   ("dma: one\n\nWhy it is so.", {DMA: edited(based, 20, "1")}),
                   ("mm: two\n\nCc: stable@example.org # 7.0+\n"
                    'Fixes: 123456789abc ("x")',
                    {MM: edited(HMM, 20, "zwei ä"), NEW: "n\n"}),
                   ("dma: three", {DMA: edited(edited(based, 20, "1"), 30, "3")}),
                   ("mm: four", {NEW: "vier ä\n"}))
        self.where = paths.trees() / "series"
        self.cover = SERIES.path / model.COVER
        self.once("send", self.prepare)
        self.box = self.top / "box"
        self.box.mkdir()

    def prepare(self):
        """What somebody has who is about to send."""
        trees.tree("series")
        mails.refresh(SERIES)
        text = self.cover.read_text()
        self.cover.write_text(text.replace("EDITME", "What it is for."))
        self.git("init", "-q", cwd=self.root)
        self.commit()
        self.config("user.name", "Sender, A")
        self.config("user.email", "sender@example.org")
        for key, value in HABITS.items():
            self.config(f"sendemail.{key}", value)

    def git(self, *args, cwd=None, **kw):
        done = process.git(*args, cwd=cwd or self.where, check_status=1, **kw)
        return done.stdout.strip()

    def commit(self):
        self.git("add", ".", cwd=self.root)
        self.git("commit", "-q", "-m", "x", cwd=self.root)

    def config(self, *args):
        process.run(["git", "config", "--global", *args], check_status=1)

    def server(self, *fault):
        """Start a server, and configure it as the user's."""
        server = self.enter(subprocess.Popen(
            ["/usr/bin/python3", Path(__file__).with_name("smtp.py"), self.box, *fault],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        self.addCleanup(server.kill)
        self.config("sendemail.smtpserver", "127.0.0.1")
        self.config("sendemail.smtpserverport", server.stdout.readline().strip())

    def lab(self, *argv, status=PASS):
        """Run ./lab send; returns what it prints, and its error."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            with contextlib.redirect_stderr(io.StringIO()) as err:
                ended = cli.main(["send", *argv])
        said = out.getvalue() + "".join(line for line in err.getvalue().splitlines(True)
                                        if line.startswith("lab: "))
        self.assertEqual(ended, status, said)
        return said

    def arrived(self):
        """The mails that the server has, in the order of their subjects."""
        policy = email.policy.default
        found = [email.message_from_bytes(path.read_bytes(), policy=policy)
                 for path in self.box.iterdir()]
        return sorted(found, key=lambda mail: mail["Subject"])

    def complete(self, version=""):
        """Everything arrived once, in one thread, and is the series."""
        cover, *patches = found = self.arrived()
        self.assertEqual([mail["Subject"] for mail in found], [
            f"[PATCH{version} {n}/4] {text}" for n, text in enumerate(
                (SERIES.title, "dma: one", "mm: two", "dma: three", "mm: four"))])
        for field in ("In-Reply-To", "References"):
            self.assertEqual({mail[field] for mail in patches}, {cover["Message-Id"]})
        self.assertEqual(len({mail["Message-Id"] for mail in found}), 5)
        dma = ["dma@example.org", "dma-list@example.org"]
        self.assertEqual([sorted(mail.get_all("X-To")) for mail in found], [
            sorted(people) for people in (ALL, dma, ALL - {*dma}, dma,
                                          ["all-list@example.org"])])
        self.assertEqual(patches[3].get_content_charset(), "utf-8")
        aside = self.top / "aside"
        self.git("worktree", "add", "-q", "--detach", aside, "base")
        for number, mail in enumerate(patches):
            path = self.top / f"{number}.eml"
            path.write_bytes(mail.as_bytes())
            self.git("am", "-q", path, cwd=aside)
        self.assertEqual(self.git("rev-parse", "HEAD^{tree}", cwd=aside),
                         self.git("rev-parse", "series^{tree}"))
        return cover, patches, aside

    def test_dry(self):
        """Says what would go to whom, which is in the mails, and sends nothing."""
        self.server()
        said = self.lab()
        self.assertNotIn("FAIL", said)
        self.assertIn("[PATCH 2/4] mm: two\n        To: mm@example.org\n        Cc: "
                      "mm-list@example.org, all-list@example.org, stable@example.org\n",
                      said)
        self.assertIn("To: dma@example.org, mm@example.org\n", said)
        where = paths.cache() / "sent/series-v1"
        self.assertEqual(said.splitlines()[-2:], [
            f"the mails are in {where}",
            "send: v1, 5 mails to 6 addresses: --really sends them"])
        text = next(where.glob("0002*")).read_text()
        self.assertIn("To: =?utf-8?q?=C3=89lan_Vital?= <mm@example.org>\n", text)
        self.assertEqual(self.arrived(), [])

    def test_everything_arrives_once(self):
        self.server()
        self.assertIn("5 of 5 mails went: v1 of series is out", self.lab("--really"))
        cover, patches, aside = self.complete()
        who = '"Sender, A" <sender@example.org>'
        self.assertEqual({mail["From"] for mail in (cover, *patches)}, {who})
        body = cover.get_content().replace("\r", "")
        self.assertIn("What it is for.\n\nSender, A (4):\n  dma: one\n", body)
        self.assertNotIn(process.NAME, "".join(map(str, (cover, *patches))))
        self.assertEqual(
            self.git("log", "-3", "--format=%an <%ae> %(trailers:only)", cwd=aside),
            "Sender, A <sender@example.org> Signed-off-by: Sender, A "
            "<sender@example.org>\n\n" * 2 +
            "Sender, A <sender@example.org> Cc: stable@example.org # 7.0+\n"
            'Fixes: 123456789abc ("x")\nSigned-off-by: Sender, A '
            "<sender@example.org>")
        self.assertEqual(self.git("rev-parse", "refs/lab/sent/series/v1^{tree}"),
                         self.git("rev-parse", "series^{tree}"))
        self.assertIn("--changes FILE says what is new in v2",
                      self.lab("--really", status=USAGE))
        self.assertEqual(len(self.arrived()), 5)
        self.assertEqual(cli.main(["clean", "all"]), USAGE)
        self.assertIn("alone knows what was sent (series-v1)", self.stderr.getvalue())

    def test_refused(self):
        """A server that does not take the fourth mail: the first three stay sent."""
        self.server("refuse", "4")
        self.config("sendemail.suppresscc", "all")
        said = self.lab("--really", status=SEND)
        self.assertIn("lab: 0003-dma-three.patch did not go: 550 no such user: "
                      "dma@example.org; 3 of 5 mails went: ./lab send series --really "
                      "goes on with the rest\n", said)
        said = self.lab()
        self.assertIn("\nsent    [PATCH 2/4]", said)
        self.assertIn("\nrefused [PATCH 3/4]", said)
        self.assertIn("3 of 5 mails went of v1: --really goes on", said)
        self.assertEqual(len(self.arrived()), 3)
        self.lab("--really", "--reroll", "1")
        self.complete()

    def test_hangs(self):
        """A server that hangs before it has the mail, which is sent again."""
        self.server("hang", "2")
        with mock.patch.object(send, "LIMIT", 3):
            said = self.lab("--really", status=SEND)
        self.assertIn("0001-dma-one.patch did not go: no answer in 3 s; 1 of 5", said)
        self.lab("--really")
        self.complete()

    def test_kept(self):
        """A server that has the mail and hangs: nobody but the list knows."""
        self.server("keep", "3")
        with mock.patch.object(send, "LIMIT", 4):
            said = self.lab("--really", status=SEND)
        known = self.arrived()[2]["Message-Id"]
        for word in ("nobody knows whether 0002-mm-two.patch went: no answer in 4 s",
                     "2 of 5 mails went", known, "--fate arrived, or lost"):
            self.assertIn(word, said)
        self.assertIn("nobody knows", self.lab("--really", status=SEND))
        self.assertEqual(len(self.arrived()), 3)
        self.lab("--really", "--fate", "arrived")
        self.complete()

    def test_dropped(self):
        """A server that hangs up before it says whether it takes the mail."""
        self.server("drop", "3")
        said = self.lab("--really", status=SEND)
        self.assertRegex(said, "nobody knows whether 0002-mm-two.patch went: .*<.*@.*>")
        self.assertNotIn("GLOB", said)
        self.lab("--really", "--fate", "lost")
        self.complete()

    def test_stopped(self):
        """What the journal has no end of may have gone."""
        self.server()
        with mock.patch.object(send, "_send", side_effect=[("sent", ""),
                                                           KeyboardInterrupt]):
            self.lab("--really", status=130)
        journal = paths.cache() / "sent/series-v1/journal"
        for cut_off in ("", "\n0001-dma-one.patch sen"):
            journal.write_text(journal.read_text() + cut_off)
            self.assertIn("whether 0001-dma-one.patch went: the lab was stopped",
                          self.lab("--really", status=SEND))

    def test_fates(self):
        """What a mail's fate is, after all that git send-email says of it."""
        mail = self.cover
        greeting = "Net::SMTP>>> Net::SMTP(3.14)\nNet::SMTP=GLOB(0x1)<<< 220 x\n"
        data = greeting + "Net::SMTP=GLOB(0x1)<<< 354 go on\n"
        late = subprocess.TimeoutExpired("git", 1, "")
        for end, said, fate, why in (
                (1, data + "Net::SMTP=GLOB(0x1)<<< 451 no\n", "refused", "451 no"),
                (late, data + "Net::SMTP=GLOB(0x1)<<< 250 OK\n", "sent", ""),
                (late, data, "sending", "no answer in 300 s"),
                (1, data, "sending", "the server has hung up"),
                (late, greeting, "refused", "no answer in 300 s"),
                (late, "", "sending", "no answer in 300 s"),      # a sendmail
                (75, "sendmail: no route\n", "refused", "sendmail: no route"),
                (1, greeting + "Net::SMTP=GLOB(0x1)>>> AUTH PLAIN c2Vj\n", "refused",
                 "the server has hung up"),
                (0, "", "sent", "")):
            late.stderr = said
            result = late if end is late else mock.Mock(returncode=end, stderr=said)
            with mock.patch.object(process, "run", side_effect=[result]):
                self.assertEqual(send._send(mail), (fate, why))

    def test_nobody_there(self):
        self.config("sendemail.smtpserver", "127.0.0.1")
        self.config("sendemail.smtpserverport", "1")
        self.assertRegex(self.lab("--really", status=SEND),
                         "0000-cover-letter.patch did not go: .*; 0 of 5 mails went")
        self.server()
        self.lab("--really")
        self.complete()

    def test_changed_in_the_middle(self):
        self.server("refuse", "4")
        self.lab("--really", status=SEND)
        before = self.cover.read_text()
        self.cover.write_text(before.replace("for.", "against."))
        self.assertIn("3 of 5 mails went of v1", self.lab())
        self.assertIn("--abandon", self.lab("--really", status=USAGE))
        self.assertIn("v1 is under way", self.lab("--reroll", "2", status=USAGE))
        self.cover.write_text(before)
        self.lab("--really")
        self.complete()

    def test_abandoned(self):
        self.server("refuse", "4")
        self.lab("--really", status=SEND)
        self.assertIn("v1 ends as it is, 3 of 5 mails went", self.lab("--abandon"))
        self.assertIn("version 2: --changes", self.lab(status=USAGE))
        self.assertIn("no version is under way", self.lab("--abandon", status=USAGE))

    def test_next_version(self):
        self.server()
        self.lab("--really")
        for path in self.box.iterdir():
            path.unlink()
        (self.where / NEW).write_text("fünf\n")
        self.git("commit", "-q", "-a", "--amend", "-m", "mm: four")
        mails.refresh(SERIES)
        self.assertIn("not committed", self.lab(status=USAGE))
        self.commit()
        news = self.top / "news"
        news.write_text("- Four is five.\n")
        self.assertIn("v1 went: --reroll 2", self.lab("--reroll", "1", status=USAGE))
        self.lab("--really", "--changes", str(news))
        text = self.complete(" v2")[0].get_content().replace("\r", "")
        self.assertIn("is for.\n\nChanges since v1:\n- Four is five.\n\nSender", text)
        self.assertIn("\nRange-diff against v1:\n", text)
        self.assertIn("4:  ", text)
        self.assertNotIn("base", text.partition("Range-diff")[2].partition("2:  ")[0])

    def test_refusals(self):
        """Each thing that does not hold, with the way out."""
        self.server()
        text = self.cover.read_text()
        self.cover.write_text(text.replace("What", "EDITME What"))
        said = self.lab("--really", status=USAGE)
        self.assertIn("EDITME in series/0000-cover-letter.patch", said)
        self.assertIn("series/ has what is not committed: git -C", said)
        self.cover.write_text(text)
        os.environ["EMAIL"] = "guessed@example.org"
        for command in (["user.email", process.EMAIL], ["--unset", "user.email"]):
            self.config(*command)
            self.assertIn("FAIL  sender: git does not know who sends: git config --g",
                          self.lab("--really", status=USAGE))
        self.config("user.email", "sender@example.org")
        (self.where / "COPYING").write_text("mine")
        self.assertIn("changes that are not committed", self.lab(status=USAGE))
        self.git("checkout", "-q", "COPYING")
        with mock.patch.object(checkpatch, "complaints", lambda mail, top: ["ugly"]):
            self.assertIn("0000-cover-letter.patch: ugly", self.lab(status=STYLE))
        self.assertEqual(self.arrived(), [])
        with mock.patch.object(outgoing, "recipients", lambda *_: ([], [])):
            self.assertIn("cover-letter.patch goes to nobody", self.lab(status=USAGE))
        for name in ("base", "none", "mainline"):
            self.assertIn("nothing to send", self.lab(name, status=USAGE))

    def test_not_configured(self):
        with mock.patch("shutil.which", lambda name, path=None: None):
            self.assertIn("WANT  server: git send-email knows no server", self.lab())
            said = self.lab("--really", status=USAGE)
        self.assertIn("FAIL  server: git send-email knows no server: git config "
                      "--global sendemail.smtpServer HOST", said)

    def test_topic(self):
        """On stock: one mail, no cover letter, others to see it, and what is new."""
        where = self.root / "mainline/one"
        where.mkdir(parents=True)
        (where.parent / "mainline.toml").write_text(
            '[one]\ntitle = "One"\nfor = "DMA"\ncc = ["Al@example.org"]\n')
        shutil.copy(next((self.root / "base").glob("*.patch")), where)
        trees.tree("one")
        mails.refresh(model.find("one"))
        self.commit()
        self.server()
        self.assertIn("WANT  base-commit: no commit that others have", self.lab("one"))
        self.assertIn("LINUX_TREE=/path/to/linux.git with the tag v7.3.4",
                      self.lab("one", "--really", status=USAGE))
        linux = self.top / "linux"
        shutil.copytree(trees.tree("stock"), linux)
        commit = self.git("commit-tree", "-m", "Linux", "HEAD^{tree}", cwd=linux)
        self.git("tag", "v7.3.4", commit, cwd=linux)
        os.environ["LINUX_TREE"] = str(linux)
        self.lab("one", "--really")
        mail, = self.arrived()
        self.assertEqual(mail["Subject"], "[PATCH] base")
        self.assertEqual(sorted(mail.get_all("X-To")), [
            "Al@example.org", "dma-list@example.org", "dma@example.org"])
        self.assertEqual(mail["Cc"], "dma-list@example.org, Al@example.org")
        self.assertIn(f"\nbase-commit: {commit}", mail.get_content().replace("\r", ""))
        (self.top / "news").write_text("nothing")
        self.assertIn(commit, self.lab("one", "--changes", str(self.top / "news")))
        text = next((paths.cache() / "sent/one-v2").glob("*.patch")).read_text()
        self.assertIn("\n---\nChanges since v1:\nnothing\n\nRange-diff against v1:\n",
                      text)
        os.environ["LINUX_REF"] = "HEAD"
        (linux / "COPYING").write_text("mine, and not committed")
        self.assertIn("WANT  base-commit: no commit that others have",
                      self.lab("one", "--changes", str(self.top / "news")))

    def test_base(self):
        """Without LINUX_TREE the mails name no commit that nobody has."""
        self.lab()
        text = (paths.cache() / "sent/series-v1" / model.COVER).read_text()
        self.assertNotIn("base-commit", text)
        self.assertRegex(text, r"\nprerequisite-patch-id: [0-9a-f]{40}\n")
