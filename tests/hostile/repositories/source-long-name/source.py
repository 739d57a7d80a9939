"""A path that is 200 MB long, in a kilobyte or so of archive."""

import gzip
import sys

SIZE = 200_000_000


def header(name: bytes, size: int, kind: bytes) -> bytes:
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124:136], block[136:148] = b"%011o\0" % size, b"00000000000\0"
    block[148:156], block[156:157], block[257:265] = b" " * 8, kind, b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


with gzip.open(sys.argv[1], "wb", compresslevel=1) as file:
    file.write(header(b"repo/", 0, b"5"))
    file.write(header(b"././@LongLink", SIZE, b"L"))
    for _ in range(SIZE // 1_000_000):
        file.write(b"a" * 1_000_000)
    file.write(bytes(-SIZE % 512))
    file.write(header(b"repo/x", 0, b"0") + bytes(1024))
