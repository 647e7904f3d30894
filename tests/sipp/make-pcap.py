#!/usr/bin/python3
"""Writes the recordings that sipp's callers play: PCMU near-silence, digits by RFC 4733 (type 101).

    make-pcap.py OUTPUT STEP...     a step is a time in seconds (voice), -SECONDS (a pause, as with
                                    silence suppression) or a digit such as d1
sipp rewrites addresses and ports; sequence numbers and timestamps stay as written here."""
import struct
import sys

FRAME = 160
DIGITS = "0123456789*#ABCD"


class Pcap:
    def __init__(self, path):
        self.file = open(path, "wb")
        self.file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        self.frame, self.sequence = 0, 0

    def packet(self, payload, kind, marker=False, timestamp=None):
        rtp = struct.pack("!BBHII", 0x80, kind | marker << 7, self.sequence & 0xffff,
                          (self.frame if timestamp is None else timestamp) * FRAME, 0x48420001) + payload
        udp = struct.pack("!HHHH", 40000, 40000, 8 + len(rtp), 0) + rtp
        ip = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, 0x7f000001, 0x7f000001) + udp
        frame = b"\0" * 12 + b"\x08\x00" + ip
        milliseconds = self.frame * 20
        self.file.write(struct.pack("<IIII", milliseconds // 1000, milliseconds % 1000 * 1000, len(frame), len(frame)))
        self.file.write(frame)
        self.sequence += 1

    def voice(self, seconds):
        for index in range(round(seconds * 50)):
            self.packet(bytes(0xff - (index * 7 + i * 13) % 3 for i in range(FRAME)), 0, index == 0)
            self.frame += 1

    def digit(self, digit, frames=6):
        start = self.frame
        for step in range(1, frames + 1):
            self.packet(struct.pack("!BBH", DIGITS.index(digit), 10, step * FRAME), 101, step == 1, start)
            self.frame += 1
        for _ in range(3):
            self.packet(struct.pack("!BBH", DIGITS.index(digit), 0x80 | 10, frames * FRAME), 101, False, start)


def main():
    pcap = Pcap(sys.argv[1])
    for step in sys.argv[2:]:
        if step[0] == "d":
            pcap.digit(step[1])
        elif step[0] == "-":
            pcap.frame += round(float(step[1:]) * 50)
        else:
            pcap.voice(float(step))
    pcap.file.close()


if __name__ == "__main__":
    main()
