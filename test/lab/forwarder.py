"""The wire of the laboratory: joins two network namespaces, with delay, loss and blackholes that change while flows live.

usage: python3 forwarder.py CLIENT_NAMESPACE SERVER_NAMESPACE DEVICE
       python3 forwarder.py --probe

One TUN device of that name is opened in each namespace; the two are a cable, and this process is its middle. The
devices live as long as their descriptors, so the wire is gone with the process, however it ends. Python, because a TUN
device is opened with an ioctl, and it comes with every Debian.

Control: JSON lines on stdin, each answered by one line on stdout; the end of stdin is the end of the wire.

    {"shape": {"v4": PATH, "v6": PATH, "hosts": {ADDRESS: PATH or null}}}   answer {"ok": true}
    {"report": true}                                                      answer {"syns": [...], "carried": n, ...}

PATH has any of rttMs, loss (0..1, for each direction), blackhole (false, true, "up", "down"); what is absent stays. A
host is an address on the server's side; what its path does not say, its family's says. "up" is from the client.
"""

import ctypes
import fcntl
import gc
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
CLONE_NEWNET = 0x40000000
PACKET_MAX = 65536
# A busy direction may not starve the other, nor the control channel.
BURST_MAX = 64
SYNS_MAX = 10_000
CONTROL = 0
UP, DOWN = "up", "down"


def enter(namespace):
    """os.setns exists from Python 3.12 on only."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}", "rb") as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")


def open_tun(device):
    """Opens a TUN device in the namespace of this process. It stays there, wherever the process goes next."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def server_address(packet, direction):
    """The family of a packet, and its address on the server's side."""
    if packet[0] >> 4 == 6:
        return "v6", packet[24:40] if direction == UP else packet[8:24]
    return "v4", packet[16:20] if direction == UP else packet[12:16]


def syn_of(packet, family):
    """Source port and destination port of a packet that opens a TCP connection, else None."""
    if family == "v6":
        protocol, start = packet[6], 40
    else:
        protocol, start = packet[9], (packet[0] & 0x0F) * 4
    if protocol != socket.IPPROTO_TCP or len(packet) < start + 20 or packet[start + 13] & 0x12 != 0x02:
        return None
    return struct.unpack_from("!HH", packet, start)


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def printable(address):
    return socket.inet_ntop(socket.AF_INET6 if len(address) == 16 else socket.AF_INET, address)


class Shape:
    """What the wire does to a packet of a family or of a host."""

    def __init__(self):
        self.families = {name: {"rttMs": 0, "loss": 0, "blackhole": False} for name in ("v4", "v6")}
        self.hosts = {}
        # The same losses in each run, so that a test which depends on them can be repeated.
        self.dice = random.Random(1)

    def change(self, wanted):
        for name, path in wanted.items():
            if name == "hosts":
                for address, path_of_host in path.items():
                    self.change_host(packed(address), path_of_host)
            else:
                self.families[name].update(path)

    def change_host(self, address, path):
        if path is None:
            self.hosts.pop(address, None)
        else:
            self.hosts.setdefault(address, {}).update(path)

    def of(self, family, address):
        host = self.hosts.get(address)
        return self.families[family] if host is None else {**self.families[family], **host}

    def swallows(self, path, direction):
        return path["blackhole"] is True or path["blackhole"] == direction

    def loses(self, path):
        return path["loss"] > 0 and self.dice.random() < path["loss"]


class Wire:
    def __init__(self, client, server):
        self.shape = Shape()
        self.ends = {client: (UP, server), server: (DOWN, client)}
        self.under_way = []
        self.order = 0
        self.carried = 0
        self.dropped = 0
        self.syns = []
        self.flows = set()
        self.control = b""

    def run(self):
        readers = [CONTROL, *self.ends]
        while True:
            # select and not epoll: its timeout has microseconds, epoll's would round each delay up by a millisecond.
            ready, _, _ = select.select(readers, [], [], self.idle_for())
            for end in ready:
                if end == CONTROL:
                    if not self.obey():
                        return
                else:
                    self.take(end)
            self.deliver()

    def idle_for(self):
        """Seconds until a packet is due; None without one, so that an idle wire costs nothing."""
        return max(0, self.under_way[0][0] - time.monotonic()) if self.under_way else None

    def take(self, end):
        direction, other = self.ends[end]
        for _ in range(BURST_MAX):
            try:
                packet = os.read(end, PACKET_MAX)
            except BlockingIOError:
                return
            now = time.monotonic()
            family, address = server_address(packet, direction)
            path = self.shape.of(family, address)
            if direction == UP:
                self.note(packet, family, address, now)
            if self.shape.swallows(path, direction) or self.shape.loses(path):
                self.dropped += 1
                continue
            self.order += 1
            heapq.heappush(self.under_way, (now + path["rttMs"] / 2000, self.order, other, direction, packet))

    def note(self, packet, family, address, now):
        """Each attempt to connect once: a SYN that is sent again has the same two ports."""
        ports = syn_of(packet, family)
        if ports is None or (address, ports) in self.flows or len(self.syns) >= SYNS_MAX:
            return
        self.flows.add((address, ports))
        self.syns.append({"atMs": now * 1000, "address": printable(address), "port": ports[1]})

    def deliver(self):
        while self.under_way and self.under_way[0][0] <= time.monotonic():
            _, _, other, direction, packet = heapq.heappop(self.under_way)
            # A wire that is cut loses what is on it as well.
            if self.shape.swallows(self.shape.of(*server_address(packet, direction)), direction):
                self.dropped += 1
                continue
            try:
                os.write(other, packet)
                self.carried += 1
            except OSError:
                # The other end is not up, or is going away: as if lost.
                self.dropped += 1

    def obey(self):
        """Answers each whole line of what came in; False at the end of stdin."""
        received = os.read(CONTROL, PACKET_MAX)
        *lines, self.control = (self.control + received).split(b"\n")
        for line in lines:
            answer(self.answer_to(json.loads(line)))
        return received != b""

    def answer_to(self, order):
        if "shape" in order:
            self.shape.change(order["shape"])
            return {"ok": True}
        report = {"syns": self.syns, "carried": self.carried, "dropped": self.dropped}
        self.syns, self.flows, self.carried, self.dropped = [], set(), 0, 0
        return report


def answer(value):
    print(json.dumps(value), flush=True)


def main(arguments):
    if arguments == ["--probe"]:
        os.close(open_tun("hfprobe%d"))
        return
    client_namespace, server_namespace, device = arguments
    ends = []
    for namespace in (client_namespace, server_namespace):
        enter(namespace)
        ends.append(open_tun(device))
    # Nothing here makes cycles; a collection would only be a late packet.
    gc.disable()
    answer({"ready": True})
    try:
        Wire(*ends).run()
    except (KeyboardInterrupt, BrokenPipeError):
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
