"""Makes the files that Karton services are compared over, from what is on any Debian machine. Run in the environment of the services.

    corpus.py DIRECTORY     writes the files and manifest.json: one entry a case

An entry is what the producer sends: name of the file and of the case, priority, payload and persistent bags.
"""
import base64
import gzip
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

from autoit_ripper.utils import EA05Decryptor, crc_data

WHEN = (2026, 1, 2, 3, 4, 6)
WHEN_S = 1767323046
SCRIPT = b"#!/bin/sh\n# says hello\necho hello \"$USER\"\nexit 0\n"
PASSWORD = "s3cret"


def pe(bits, content=b""):
    """The smallest thing that is a Windows program to libmagic."""
    is_wide = bits == 64
    optional = struct.pack("<HBBIIIII", 0x20B if is_wide else 0x10B, 14, 0, 512, 0, 0, 0x1000, 0x1000)
    optional += b"" if is_wide else struct.pack("<I", 0x2000)
    optional += struct.pack("<Q" if is_wide else "<I", 0x400000) + struct.pack("<II", 0x1000, 512)
    optional += struct.pack("<HHHHHHIIIIHH", 6, 0, 0, 0, 6, 0, 0, 0x2000, 512, 0, 3, 0)
    optional += struct.pack("<QQQQ" if is_wide else "<IIII", 0x100000, 0x1000, 0x100000, 0x1000)
    optional += struct.pack("<II", 0, 16) + b"\0" * 128
    section = struct.pack("<8sIIIIIIHHI", b".text", 512, 0x1000, 512, 512, 0, 0, 0, 0, 0x60000020)
    header = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664 if is_wide else 0x14C, 1, 0, 0, 0, len(optional), 0x22)
    head = (b"MZ" + b"\0" * 58 + struct.pack("<I", 0x80)).ljust(0x80, b"\0") + header + optional + section
    return head.ljust(512, b"\0") + (b"\xc3" + content).ljust(512, b"\0")


def rc4(key, data):
    box = list(range(256))
    j = 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) & 255
        box[i], box[j] = box[j], box[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) & 255
        j = (j + box[i]) & 255
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) & 255])
    return bytes(out)


def autoit():
    """A program with an AutoIt 3.00 script inside, which carries another program, encrypted, as droppers do."""
    key = "k3y"
    hidden = "0x" + rc4(key.encode(), pe(32, b"dropped")).hex()
    pieces = [hidden[at:at + 400] for at in range(0, len(hidden), 400)]
    script = f'$a="{pieces[0]}"\n' + "".join(f'$a=$a&"{piece}"\n' for piece in pieces[1:])
    script += f'$a=Decode($a,"{key}")\n'
    cipher = EA05Decryptor()
    checksum_bytes = b"0123456789abcdef"

    def text(value, keys):
        length = len(value)
        return struct.pack("<I", length ^ keys[0]) + cipher.decrypt(value, length + keys[1])

    def entry(kind, name, content):
        data = cipher.decrypt(content, sum(checksum_bytes) + cipher.au3_ResContent)
        return (cipher.decrypt(b"FILE", cipher.au3_ResType) + text(kind, cipher.au3_ResSubType)
                + text(name, cipher.au3_ResName) + b"\0" + struct.pack("<I", len(content) ^ cipher.au3_ResSize) * 2
                + struct.pack("<I", crc_data(content) ^ cipher.au3_ResCrcCompressed) + struct.pack("<IIII", 0, 1, 0, 1)
                + data)

    body = entry(b">AUTOIT SCRIPT<", b"script", script.encode()) + entry(b"helper.dll", b"helper.dll", pe(64, b"dll"))
    return pe(32, b"\xa3HK\xbe\x98lJ\xa9\x99LS\n\x86\xd6H}AU3!EA05" + checksum_bytes + body)


def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0\0\xff\0" * 2)) + chunk(b"IEND", b""))


def zip_of(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, WHEN), content)
    return out.getvalue()


def tar_of(members, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mtime = WHEN_S
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def deb():
    def member(name, content):
        head = f"{name:<16}{WHEN_S:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        return head + content + b"\n" * (len(content) % 2)
    control = tar_of({"./control": b"Package: sample\nVersion: 1\nArchitecture: all\nDescription: a sample\n"}, "w:gz")
    return (b"!<arch>\n" + member("debian-binary", b"2.0\n") + member("control.tar.gz", control)
            + member("data.tar.gz", tar_of({"./usr/bin/hello": SCRIPT}, "w:gz")))


def encrypted_zip(directory, password, members):
    """By Info-ZIP: Python cannot encrypt."""
    work = os.path.join(directory, "work-" + password)
    os.makedirs(work)
    for name, content in members.items():
        with open(os.path.join(work, name), "wb") as file:
            file.write(content)
    path = os.path.join(work, "out.zip")
    subprocess.run(["zip", "-q", "-X", "-P", password, path, *members], cwd=work, check=True)
    with open(path, "rb") as file:
        return file.read()


def mail(attachment):
    return (b"From: a@example.org\r\nTo: b@example.org\r\nSubject: invoice\r\nDate: Fri, 2 Jan 2026 03:04:06 +0000\r\n"
            b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"cut\"\r\n\r\n--cut\r\n"
            b"Content-Type: text/plain\r\n\r\nsee attachment\r\n--cut\r\n"
            b"Content-Type: application/zip; name=\"invoice.zip\"\r\nContent-Transfer-Encoding: base64\r\n"
            b"Content-Disposition: attachment; filename=\"invoice.zip\"\r\n\r\n"
            + base64.encodebytes(attachment).replace(b"\n", b"\r\n") + b"--cut--\r\n")


def cases(directory):
    """(case, file name, content, what else the producer says)."""
    with open("/bin/true", "rb") as file:
        elf = file.read()
    inner = zip_of({"setup.exe": pe(32, b"inner"), "readme.txt": b"nothing to see\n"})
    middle = tar_of({"deep/inner.zip": inner, "deep/run.sh": SCRIPT})
    whole_zip = zip_of({"a.exe": pe(64), "b.txt": b"plain text\n" * 200})
    many = {f"{number:02}.txt": b"text %d\n" % number for number in range(20)}
    yield "elf", "true", elf, {}
    yield "pe32", "setup.exe", pe(32), {"priority": "high"}
    yield "pe64", "setup64.exe", pe(64), {"priority": "low"}
    yield "autoit", "macro.exe", autoit(), {}
    yield "zip", "files.zip", whole_zip, {"payload": {"comment": "two files", "level": 7, "odd": [None, 1.5, {"a": True}]}}
    yield "tar", "files.tar", tar_of(many), {"headers_persistent": {"quality": "low"}}
    yield "gz", "run.sh.gz", gzip.compress(SCRIPT, mtime=0), {}
    yield "nested", "nested.tar.gz", gzip.compress(tar_of({"middle.tar": middle, "twin.zip": inner}), mtime=0), {
        "priority": "high", "payload_persistent": {"case": {"id": 2**70, "ratio": float("inf")}}}
    yield "encrypted", "infected.zip", encrypted_zip(directory, "infected", {"bad.exe": pe(32, b"bad")}), {}
    yield "encrypted, password given", "locked.zip", encrypted_zip(directory, PASSWORD, {"in.exe": pe(32, b"in")}), {
        "payload_persistent": {"attributes": {"password": [PASSWORD]}}}
    yield "encrypted, password unknown", "shut.zip", encrypted_zip(directory, "nobody knows", {"x.exe": pe(32, b"x")}), {}
    yield "deb", "sample_1_all.deb", deb(), {}
    yield "mail", "invoice.eml", mail(whole_zip), {}
    yield "image", "dot.png", png(), {}
    yield "script", "hello.sh", SCRIPT, {"headers": {"note": "zażółć gęślą jaźń"}}
    yield "base64", "encoded.txt", base64.b64encode(pe(32, b"base64")), {}
    yield "hex", "hex.txt", pe(64, b"hex").hex().encode(), {}
    yield "escaped hex", "escaped.txt", b"".join(b"\\x%02x" % byte for byte in SCRIPT), {}
    yield "decimal", "numbers.txt", ",".join(str(byte) for byte in SCRIPT).encode(), {}
    yield "text", "note.txt", b"just a note\nwith nothing inside\n" * 3, {}
    yield "csv", "table.csv", b"one,two\n1,2\n3,4\n5,6\n", {}
    yield "cut zip", "cut.zip", whole_zip[:len(whole_zip) // 2], {}
    yield "corrupt gz", "bad.gz", gzip.compress(SCRIPT, mtime=0)[:12] + b"\xff" * 40, {}
    yield "name that no encoding has", "caf\udce9.zip", whole_zip, {}  # the classifier crashes over it
    yield "nobody takes it", "other.bin", b"\0\1\2\3", {"headers": {"type": "other"}}
    # The last one: after an empty PUT, boto3 waits a minute for SeaweedFS to answer the next on that connection.
    yield "empty", "empty.bin", b"", {}


def main():
    directory = os.path.abspath(sys.argv[1])
    files = os.path.join(directory, "files")
    os.makedirs(files)
    manifest = []
    for number, (case, name, content, more) in enumerate(cases(directory)):
        path = os.path.join(files, f"{number:02}")
        with open(path, "wb") as file:
            file.write(content)
        manifest.append({"case": case, "name": name, "path": path, **more})
    with open(os.path.join(directory, "manifest.json"), "w", encoding="ascii") as file:
        json.dump(manifest, file)


if __name__ == "__main__":
    main()
