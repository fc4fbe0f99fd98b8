# SPDX-License-Identifier: GPL-2.0
"""Traffic of a driver in user space, out of the representor of its function and back, of which nothing may get lost."""

import os
import select
import socket
import struct
import threading

from net.lib.py import KsftFailEx

from .userqueue import RxQueue, TxQueue

# A type of frame that nobody else sends (IEEE's for experiments), and an address that nobody else has.
EXPERIMENTAL, NUMBER = b"\x88\xb5", 0x88B5
FAR = b"\x02\x00\x00\x00\x66\x66"
BATCH = 8
PATIENCE = 60


class FarEnd(threading.Thread):
    """Sends back what comes out of representors, and notes in which order it came."""

    def __init__(self, netdevs):
        super().__init__()
        self.links = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(NUMBER)) for _ in netdevs]
        for link, netdev in zip(self.links, netdevs):
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            link.bind((netdev, NUMBER))
        self.changed = threading.Condition()
        self.seen = 0
        self.wrong = []
        self.end = os.eventfd(0)
        self.start()

    def run(self):
        while True:
            for link in select.select([*self.links, self.end], [], [])[0]:
                if link == self.end:
                    return
                self.take(link)

    def take(self, link):
        """Takes a frame: each number comes once, and in order."""
        frame, (_, _, kind, *_) = link.recvfrom(2048)
        if kind == socket.PACKET_OUTGOING:
            return
        number = struct.unpack_from("<Q", frame, 14)[0]
        with self.changed:
            if number != self.seen:
                self.wrong.append((number, self.seen))
            self.seen = number + 1
            self.changed.notify_all()
        link.send(frame[6:12] + FAR + frame[12:])

    def wait(self, number):
        """Waits until this frame has come, or nobody wants to know any more."""
        with self.changed:
            return self.changed.wait_for(lambda: self.seen > number, PATIENCE)

    def stop(self):
        """Ends it; nothing happens if it was ended."""
        if self.end is None:
            return
        os.eventfd_write(self.end, 1)
        self.join()
        for link in self.links:
            link.close()
        os.close(self.end)
        self.end = None


class Traffic(threading.Thread):
    """Sends numbered frames as fast as they come out, and takes what comes back. `device` is held while it uses one."""

    def __init__(self, driver, far):
        super().__init__()
        self.far = far
        self.mac = driver.open_port()
        self.tx, self.rx = TxQueue(driver), RxQueue(driver)
        self.rx.fill()
        self.device = threading.Lock()
        self.sent = self.returned = self.last = 0
        self.error = None
        self.over = False
        self.start()

    def run(self):
        try:
            while not self.over:
                with self.device:
                    self.send()
                if not self.far.wait(self.sent - 1):
                    raise KsftFailEx(f"frame {self.sent - 1} never came; {self.far.seen} did")
                with self.device:
                    self.take()
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.error = error

    def send(self):
        """Sends some frames."""
        self.tx.reap()
        frames = [FAR + self.mac + EXPERIMENTAL + struct.pack("<Q", number) + bytes(50)
                  for number in range(self.sent, self.sent + min(BATCH, self.tx.room()))]
        self.tx.send(*frames)
        self.sent += len(frames)

    def take(self):
        """Takes what came back: in order, each once. What came while the function stood still is lost."""
        for frame in self.rx.receive():
            if frame[12:14] != EXPERIMENTAL:
                continue
            number = struct.unpack_from("<Q", frame, 14)[0] + 1
            if not self.last < number <= self.sent:
                raise KsftFailEx(f"frame {number - 1} came back after {self.last - 1}; {self.sent} were sent")
            self.returned += 1
            self.last = number

    def wait(self, more):
        """Waits until so many more frames came out."""
        self.far.wait(self.far.seen + more)
        if self.error:
            raise self.error

    def stop(self):
        """Ends it."""
        self.over = True
        self.join()
