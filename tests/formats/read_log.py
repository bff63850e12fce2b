#!/usr/bin/env python3
"""Reads a log of Berth, written from docs/formats/log.md alone: nothing but the standard library.

usage: read_log.py LOG.DB [--vkey FILE] [--checkpoint FILE]

Recomputes every leaf and the Merkle root, compares them with the checkpoints, and prints one JSON object.
Exit code: 0 everything fits, 1 something does not.
"""
import argparse
import base64
import hashlib
import json
import sqlite3
import struct
import sys


def sha256(data):
    return hashlib.sha256(data).digest()


# --- section 3: header and leaf -------------------------------------------------------------------------------------

def field(value):
    return struct.pack(">I", len(value)) + value


def u64(number):
    return struct.pack(">Q", number)


def i64(number):
    return struct.pack(">q", number)


def leaf_hash(log, event):
    cause = event["cause"]
    header = b"".join(field(value) for value in (
        log,
        event["stream"].encode(),
        u64(event["version"]),
        event["kind"].encode(),
        struct.pack(">H", event["schema"]),
        i64(event["recorded_at"]),
        i64(event["wall_clock"]),
        event["boot"].encode(),
        event["who"].encode(),
        event["how"].encode(),
        event["operation"],
        cause[0].encode() if cause else b"",
        u64(cause[1]) if cause else b"",
        event["node"],
        event["body_commitment"],
        event["annex_commitment"] or b"",
    ))
    return sha256(b"\x00" + header)


# --- section 4: tree ------------------------------------------------------------------------------------------------

class Tree:
    def __init__(self):
        self.size = 0
        self.nodes = []

    def push(self, leaf):
        node, size = leaf, self.size
        while size & 1:
            node = sha256(b"\x01" + self.nodes.pop() + node)
            size >>= 1
        self.nodes.append(node)
        self.size += 1

    def root(self):
        if not self.nodes:
            return sha256(b"")
        node = self.nodes[-1]
        for left in reversed(self.nodes[:-1]):
            node = sha256(b"\x01" + left + node)
        return node


# --- section 5: checkpoints (Ed25519 as in RFC 8032 section 5.1, verification only) ---------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * I % P
    if (x * x - x2) % P:
        return None
    return P - x if x & 1 != sign else x


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def decompress(data):
    number = int.from_bytes(data, "little")
    y = number & ((1 << 255) - 1)
    x = recover_x(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def ed25519_verify(public, message, signature):
    a, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L or len(signature) != 64:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = multiply(s, BASE), add(r, multiply(h, a))
    return not ((left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P)


def read_vkey(text):
    name, key_id, key = text.strip().split("+", 2)
    key = base64.b64decode(key)
    assert key[0] == 1 and len(key) == 33, "not an Ed25519 key"
    assert sha256(name.encode() + b"\n" + key)[:4].hex() == key_id, "the key does not fit its hash"
    return name, bytes.fromhex(key_id), key[1:]


def read_note(note, vkey):
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    origin, size, root = text.split("\n")[:3]
    signed = None
    if vkey:
        signed = False
        for line in signatures.splitlines():
            dash, name, value = line.split(" ")
            value = base64.b64decode(value)
            if dash == "\u2014" and name == vkey[0] and value[:4] == vkey[1]:
                signed = signed or ed25519_verify(vkey[2], text.encode(), value[4:])
    return {"origin": origin, "size": int(size), "root": base64.b64decode(root), "signed": signed}


# --- section 2: tables ----------------------------------------------------------------------------------------------

def words(db, sql):
    return {row[0]: row[1:] if len(row) > 2 else row[1] for row in db.execute(sql)}


def named(table, known, number, wanted=str):
    """Returns the word behind a number; ValueError if there is none of that kind."""
    if number not in known:
        raise ValueError(f"its {table} {number!r} is not there")
    word = known[number]
    if not all(isinstance(part, wanted) for part in (word if isinstance(word, tuple) else (word,))):
        raise ValueError(f"its {table} {number!r} is damaged")
    return word


def read_event(row, streams, kinds, boots, principals, nodes):
    who, how = named("principal", principals, row[8])
    return {
        "stream": named("stream", streams, row[1]), "version": row[2], "kind": named("kind", kinds, row[3]),
        "schema": row[4], "recorded_at": row[5], "wall_clock": row[6], "boot": named("boot", boots, row[7]),
        "who": who, "how": how, "operation": row[9],
        "cause": None if row[10] is None else (named("causing stream", streams, row[10]), row[11]),
        "node": named("node", nodes, row[12], bytes),
        "body_commitment": row[15] if row[14] is None else sha256(row[13] + row[14]),
        "annex_commitment": row[17],
    }


def read_log(path, vkey, checkpoint):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = db.execute("SELECT id FROM log").fetchone()
    if not found:
        return {"origin": None, "events": 0, "wrong": ["the id of the log is missing"]}
    log = found[0]
    streams = words(db, "SELECT id, name FROM streams")
    kinds = words(db, "SELECT id, name FROM kinds")
    boots = words(db, "SELECT id, name FROM boots")
    nodes = words(db, "SELECT id, node FROM nodes")
    principals = words(db, "SELECT id, who, how FROM principals")
    origin = "berth-log/" + base32_id(log)
    wrong, tree, roots, redacted, versions = [], Tree(), {}, 0, {}
    notes, texts = [], list(db.execute("SELECT size, note FROM checkpoints ORDER BY size"))
    for size, text in texts + ([("that was given", checkpoint)] if checkpoint else []):
        try:
            notes.append(read_note(text, vkey))
        except (ValueError, AttributeError) as error:
            wrong.append(f"the checkpoint {size} cannot be read: {error}")
    wanted = {note["size"] for note in notes}
    roots[0] = tree.root()
    for row in db.execute(
        "SELECT position, stream, version, kind, schema, recorded_at, wall_clock, boot, principal, operation,"
        " cause_stream, cause_version, node, body_salt, body, body_commitment, annex, annex_commitment, leaf"
        " FROM events ORDER BY position"):
        position, stream, version = row[0:3]
        try:
            event = read_event(row, streams, kinds, boots, principals, nodes)
            leaf = leaf_hash(log, event)
        except (ValueError, TypeError, AttributeError, struct.error) as error:
            wrong.append(f"event {position} cannot be read: {error}")
            leaf = None
        if row[16] is None:
            redacted += row[17] is not None
        elif not isinstance(row[16], bytes) or sha256(row[16]) != row[17]:
            wrong.append(f"the annex of event {position} does not fit")
        if position != tree.size + 1:
            wrong.append(f"events before {position} are missing")
        if version != versions.get(stream, 0) + 1:
            wrong.append(f"event {position} is out of place")
        versions[stream] = version
        if leaf is not None and leaf != row[18]:
            wrong.append(f"event {position} is altered")
        tree.push(row[18] if isinstance(row[18], bytes) else b"")
        if tree.size in wanted:
            roots[tree.size] = tree.root()
    for note in notes:
        if note["origin"] != origin:
            wrong.append(f"a checkpoint of {note['origin']}")
        if note["signed"] is False:
            wrong.append(f"the checkpoint {note['size']} is not signed by the key")
        if roots.get(note["size"]) != note["root"]:
            wrong.append(f"the log does not have the root of checkpoint {note['size']}")
    return {"origin": origin, "events": tree.size, "root": tree.root().hex(), "redacted": redacted,
            "checkpoints": len(notes), "signatures": "checked" if vkey else "not checked", "wrong": wrong}


def base32_id(data):
    number, text = int.from_bytes(data, "big"), ""
    for _ in range(26):
        text = "abcdefghijklmnopqrstuvwxyz234567"[number & 31] + text
        number >>= 5
    return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("log")
    parser.add_argument("--vkey")
    parser.add_argument("--checkpoint")
    arguments = parser.parse_args()
    vkey = checkpoint = None
    if arguments.vkey:
        with open(arguments.vkey, encoding="utf-8") as file:
            vkey = read_vkey(file.read())
    if arguments.checkpoint:
        with open(arguments.checkpoint, encoding="utf-8") as file:
            checkpoint = file.read()
    try:
        report = read_log(arguments.log, vkey, checkpoint)
    except sqlite3.Error as error:  # a page that cannot be read
        report = {"origin": None, "wrong": [f"{arguments.log} cannot be read: {error}"]}
    print(json.dumps(report))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
