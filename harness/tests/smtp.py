# SPDX-License-Identifier: GPL-2.0-only
"""A real SMTP server on the loopback address: smtp.py DIRECTORY [FAULT N]

Prints its port, and keeps each mail that arrives as a file. The mail number N meets the
FAULT, once: refuse (a recipient), hang (before the mail), keep (the mail, and say
nothing), drop (the mail and the connection).
"""

import asyncio
import pathlib
import sys

from aiosmtpd import smtp


class Keeper:
    """Keeps mails."""

    def __init__(self, directory, fault="", number="0"):
        self.directory, self.fault = pathlib.Path(directory), fault
        self.left = int(number)

    async def handle_MAIL(self, _server, _session, envelope, address, options):
        self.left -= 1
        if self.fault == "hang" and self.left == 0:
            await asyncio.Event().wait()
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if self.fault == "refuse" and self.left == 0:
            return f"550 no such user: {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, _session, envelope):
        if self.fault == "drop" and self.left == 0:
            server.transport.abort()
            await asyncio.Event().wait()
        name = f"{len([*self.directory.iterdir()]):02}.mail"
        to = "".join(f"X-To: {address}\r\n" for address in envelope.rcpt_tos)
        (self.directory / name).write_bytes(to.encode() + envelope.content)
        if self.fault == "keep" and self.left == 0:
            await asyncio.Event().wait()
        return "250 OK"


async def main(*words):
    """Serve until this process is ended."""
    keeper = Keeper(*words)
    server = await asyncio.get_running_loop().create_server(
        lambda: smtp.SMTP(keeper), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
