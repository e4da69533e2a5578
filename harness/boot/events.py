#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The host's side of virtio devices: python3 harness/boot/events.py QEMU ARGUMENT...

Runs QEMU with what devices of its command line want from outside, and ends as QEMU
ends:

  chardev=vsock   the other end of a vhost-user-vsock device, which needs no
                  /dev/vhost-vsock: it agrees to everything and touches no queue.
                  QEMU itself keeps the event queue of such a device.
  id=scsi         a disk that is plugged into this bus and pulled out again
  any keyboard    a key that is pressed and released
  any tablet      a pen that moves

Stands alone, so that the command kept with the results of a cell repeats it.
"""

import contextlib
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time

_CID = 3                        # the guest's address
_PAUSE = 0.1                    # seconds from event to event

# vhost-user: requests that want more than an acknowledgement, and flags.
_REPLY = 1 | 1 << 2             # version 1, a reply
_NEED_REPLY = 1 << 3
_GET_FEATURES, _GET_VRING_BASE, _GET_PROTOCOL_FEATURES, _GET_CONFIG = 1, 11, 15, 24
_SET_BACKEND_REQ_FD = 21
# VHOST_USER_F_PROTOCOL_FEATURES, VIRTIO_F_VERSION_1, VIRTIO_F_ACCESS_PLATFORM
_FEATURES = 1 << 30 | 1 << 32 | 1 << 33
# VHOST_USER_PROTOCOL_F_REPLY_ACK and _BACKEND_REQ, without which QEMU does not offer
# VIRTIO_F_ACCESS_PLATFORM, and _CONFIG
_PROTOCOL_FEATURES = 1 << 3 | 1 << 5 | 1 << 9


def answer(request, flags, payload):
    """What a vsock device that does nothing replies to a vhost-user request.

    None for a request that wants no reply.
    """
    if request == _GET_FEATURES:
        return struct.pack("<Q", _FEATURES)
    if request == _GET_PROTOCOL_FEATURES:
        return struct.pack("<Q", _PROTOCOL_FEATURES)
    if request == _GET_CONFIG:
        offset, size = struct.unpack_from("<II", payload)
        return payload[:12] + struct.pack("<Q", _CID)[offset:offset + size]
    if request == _GET_VRING_BASE:
        return payload[:4] + bytes(4)
    return struct.pack("<Q", 0) if flags & _NEED_REPLY else None


def serve_vsock(end):
    """Answer vhost-user requests on the socket `end` until QEMU closes it."""
    while True:
        head, fds, _, _ = socket.recv_fds(end, 12, 16)
        if len(head) < 12:
            return
        request, flags, size = struct.unpack("<III", head)
        if request != _SET_BACKEND_REQ_FD:      # QEMU takes offence if that closes
            for number in fds:
                socket.close(number)
        payload = end.recv(size, socket.MSG_WAITALL) if size else b""
        reply = answer(request, flags, payload)
        if reply is not None:
            end.sendall(struct.pack("<III", request, _REPLY, len(reply)) + reply)


def commands(scsi, number):
    """The commands of QEMU's monitor for event `number`, as dicts."""
    key = {"type": "key", "data": {"down": number % 2 == 0,
                                   "key": {"type": "qcode", "data": "a"}}}
    move = {"type": "abs", "data": {"axis": "x", "value": number % 2}}
    for event in (key, move):
        yield {"execute": "input-send-event", "arguments": {"events": [event]}}
    if not scsi:
        return
    # Slower: a disk that is gone before the guest has looked is an error to it.
    if number % 6 == 3:
        yield {"execute": "device_del", "arguments": {"id": "plugged"}}
    elif number % 6 == 0:
        yield {"execute": "device_add",
               "arguments": {"driver": "scsi-hd", "id": "plugged", "bus": "scsi.0",
                             "drive": "nothing"}}


def send_events(end, scsi):
    """Send events through QEMU's monitor, the socket `end`, until QEMU closes it.

    Whether the guest is ready for one is its own affair: errors are not looked at.
    """
    threading.Thread(target=_drain, args=(end,), daemon=True).start()
    number = 0
    with contextlib.suppress(OSError):
        _say(end, {"execute": "qmp_capabilities"})
        while True:
            time.sleep(_PAUSE)
            for command in commands(scsi, number):
                _say(end, command)
            number += 1


def _say(end, command):
    end.sendall(json.dumps(command).encode() + b"\n")


def _drain(end):
    with contextlib.suppress(OSError):
        while end.recv(65536):
            pass


def main(cmd):
    """Run the argv `cmd`; returns its exit status."""
    line = " ".join(cmd)
    ends = []

    def chardev(name, target, *args):
        ours, theirs = socket.socketpair()
        ends.append(theirs)
        threading.Thread(target=target, args=(ours, *args), daemon=True).start()
        return ["-chardev", f"socket,id={name},fd={theirs.fileno()}"]

    extra = []
    if "chardev=vsock" in line:
        # vhost-user hands the guest's memory over, which has to be a file for that.
        size = re.findall(r" -m (\S+)", line)[0]
        extra += [*chardev("vsock", serve_vsock),
                  "-object", f"memory-backend-memfd,id=ram,size={size},share=on",
                  "-machine", "memory-backend=ram"]
    scsi = ",id=scsi" in line
    if scsi:
        extra += ["-blockdev", "null-co,node-name=nothing"]
    extra += [*chardev("monitor", send_events, scsi),
              "-mon", "chardev=monitor,mode=control"]
    with subprocess.Popen([*cmd, *extra],
                          pass_fds=[end.fileno() for end in ends]) as child:
        for end in ends:
            end.close()
        return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
