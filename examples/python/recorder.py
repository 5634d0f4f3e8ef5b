#!/usr/bin/env python3
"""A recorder of Killick in one file: signs, chains, keeps on disk, batches, hands in, and checks each receipt.

Written from docs/PROTOCOL.md (§ below are its sections), with Python's standard library and `cryptography`
(Debian: python3-cryptography). As a module:

    with Recorder(url, "payroll", read_key("key.json"), "spool", log_key="audit.example.com+…") as audit:
        audit.record({"action": "payslip.open", "actor": {"type": "user", "id": "ada"}})

As a program it records each line of its input, and answers each with a line once it is durable:

    recorder.py --url https://audit.example.com --source payroll --key key.json --spool spool < events.ndjson
"""
import argparse
import base64
import binascii
import fcntl
import gzip
import hashlib
import http.client
import json
import os
import re
import secrets
import sys
import threading
import time
import urllib.parse
from datetime import date, datetime, timezone
from decimal import Decimal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_SAFE = 2**53 - 1
MAX_EVENT_BYTES = 262_144
MAX_ANSWER_BYTES = 256 * 1024
BATCH_EVENTS, BATCH_BYTES = 1000, 4 << 20  # §6 allows 10,000 and 16 MiB
KEPT_RECEIPTS = 8


class Refused(Exception):
    """Some input is at fault: `code` is of docs/ERRORS.md, `field` a JSON pointer where there is one."""

    def __init__(self, code, why="", field=None):
        super().__init__(f"{code}: {why}" if why else code)
        self.code, self.field = code, field


class Later(Exception):
    """Nothing was decided: the same is asked again after `wait` seconds."""

    def __init__(self, why, wait=None):
        super().__init__(why)
        self.wait = wait


class Forked(Exception):
    """The log contradicts what it has signed before (§6)."""

    def __init__(self, reason, other, asked=None, answer=None):
        super().__init__(f"log_forked: {reason}")
        self.evidence = {"reason": reason, "other": other, "asked": asked, "answer": answer}


# ---------------------------------------------------------------------------------------------------- §1 encodings


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64u(text):
    """Canonical base64url without padding: each value has one spelling."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if re.fullmatch(r"[\w-]*", text, re.A) else None
    except (binascii.Error, TypeError):
        data = None
    if data is None or b64u(data) != text:
        raise ValueError("not canonical base64url")
    return data


def from_b64(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data


def hash_of(text):
    data = from_b64u(text) if isinstance(text, str) else b""
    if len(data) != 32:
        raise ValueError("not a hash")
    return data


def read_json(text, max_depth=32):
    """JSON within the limits of I-JSON, so that no text can mean two things."""

    def members(pairs):
        value = dict(pairs)
        if len(value) != len(pairs):
            raise Refused("json_duplicate_member")
        if "__proto__" in value:
            raise Refused("json_invalid", "__proto__")
        return value

    def number(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise Refused("json_number_inexact", text[:40])
        exact = Decimal(text)
        if exact == exact.to_integral_value() and abs(exact) > MAX_SAFE:
            raise Refused("json_number_inexact", text[:40])
        return value if re.search(r"[.eE]", text) else int(text)

    def constant(text):
        raise Refused("json_invalid", text)

    try:
        value = json.loads(
            text, object_pairs_hook=members, parse_int=number, parse_float=number, parse_constant=constant
        )
    except RecursionError:
        raise Refused("json_too_deep") from None
    except ValueError as error:
        raise Refused("json_invalid", str(error)) from None
    check_depth(value, max_depth)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused("json_lone_surrogate") from None
    return value


def check_depth(value, left):
    if isinstance(value, (dict, list)):
        if left == 0:
            raise Refused("json_too_deep")
        for inner in value.values() if isinstance(value, dict) else value:
            check_depth(inner, left - 1)


def print_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


# --------------------------------------------------------------------------------------------- §2 hashing and trees


def leaf_hash(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


EMPTY_ROOT = hashlib.sha256(b"").digest()


def root_of(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_ROOT
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(root_of(leaves[:split]), root_of(leaves[split:]))


def is_included(leaf, index, size, path, root):
    """RFC 9162 §2.1.3.2. Hashes are bytes of 32."""
    if any(len(each) != 32 for each in (leaf, root, *path)) or not 0 <= index < size < 2**64:
        return False
    fn, sn, here = index, size - 1, leaf
    for sibling in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            here = node_hash(sibling, here)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            here = node_hash(here, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and here == root


def root_before(index, size, path):
    """The root of the `index` entries left of one, from its inclusion path: what its left siblings hash to."""
    fn, sn, here = index, size - 1, None
    for sibling in path:
        if fn & 1 or fn == sn:
            here = sibling if here is None else node_hash(sibling, here)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        fn, sn = fn >> 1, sn >> 1
    return EMPTY_ROOT if here is None else here


def is_consistent(old_size, new_size, old_root, new_root, path):
    """RFC 9162 §2.1.4.2, and the two cases that it leaves out."""
    if any(len(each) != 32 for each in (old_root, new_root, *path)) or not 0 <= old_size <= new_size < 2**64:
        return False
    if old_size == 0:
        return not path and old_root == EMPTY_ROOT and (new_size > 0 or new_root == EMPTY_ROOT)
    if old_size == new_size:
        return not path and old_root == new_root
    steps = list(path)
    if old_size & (old_size - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        return False
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node_hash(step, old), node_hash(step, new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and old == old_root and new == new_root


# ------------------------------------------------------------------------------------------------ §3, §4 keys and JWS


class Key:
    """An Ed25519 key of a source, from a private JWK (RFC 8037)."""

    def __init__(self, jwk):
        try:
            self._private = Ed25519PrivateKey.from_private_bytes(from_b64u(jwk["d"]))
        except (KeyError, TypeError, ValueError):
            raise Refused("key_invalid", "this recorder signs with an Ed25519 JWK that has d") from None
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        x = b64u(self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        self.public = {"kty": "OKP", "crv": "Ed25519", "x": x}
        if {name: jwk.get(name) for name in self.public} != self.public:
            raise Refused("key_invalid", "kty, crv and x are not those of d")
        self.kid = thumbprint(self.public)

    def jws(self, payload, typ):
        header = {"alg": "Ed25519", "typ": typ, "kid": self.kid}
        text = ".".join(b64u(print_json(part).encode()) for part in (header, payload))
        return f"{text}.{b64u(self._private.sign(text.encode()))}"


def thumbprint(jwk):
    """RFC 7638: the required members only, in the order of their names."""
    members = ("crv", "kty", "x") if jwk["kty"] == "OKP" else ("crv", "kty", "x", "y")
    return b64u(hashlib.sha256(print_json({name: jwk[name] for name in members}).encode()).digest())


def read_key(path):
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        # Without the path: who puts the key itself in its place must not find it in a log.
        raise Refused("key_invalid", f"the key file cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise Refused("key_unsafe", f"{path} can be read by other users")
    with open(path, encoding="utf-8") as file:
        return Key(read_json(file.read()))


# -------------------------------------------------------------------------------------------------------- §5 events

SOURCE = r"[a-z0-9][a-z0-9._-]{0,63}"
FIELD = r"[A-Za-z][A-Za-z0-9_]{0,63}"
RESERVED = {"iss", "stm", "seq", "prev", "jti", "iat", "sub", "aud", "exp", "nbf", "cnf"}
FIELDS = {"action", "actor", "targets", "outcome", "context", "changes", "metadata", "occurredAt"}
DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.A
)


def check_event(event, declared=()):
    """The fields of an event, ready to be disclosed. @raises Refused field_invalid, with the place"""
    if not isinstance(event, dict):
        bad("", "must be an object")
    fields = {name: value for name, value in event.items() if value is not None or name not in FIELDS}
    fields.setdefault("targets", [])
    for name in ("action", "actor"):
        if name not in fields:
            bad(f"/{name}", "is missing")
    for name, value in fields.items():
        if not isinstance(name, str) or not re.fullmatch(FIELD, name, re.A) or name in RESERVED:
            bad(f"/{name}", "is not allowed as the name of a field")
        if name not in FIELDS and name not in declared:
            bad(f"/{name}", "is no field of an event, and was not declared")
        if isinstance(value, datetime):
            value = fields[name] = value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
        check_value(value, f"/{name}", 30)
        check = CHECKS.get(name)
        if check:
            check(value, f"/{name}")
    return fields


def bad(field, why):
    raise Refused("field_invalid", f"{field} {why}", field)


def check_value(value, field, left):
    """Whether JSON carries the value as it is."""
    if isinstance(value, str):
        if any(0xD800 <= ord(char) < 0xE000 for char in value):
            bad(field, "holds half of a surrogate pair")
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, (int, float)):
        if value != value or abs(value) > MAX_SAFE and (isinstance(value, int) or value == int_of(value)):
            bad(field, "is a number that JSON does not carry exactly: record it as text")
    elif isinstance(value, (dict, list, tuple)):
        if left == 0:
            bad(field, "is nested deeper than 30 levels")
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict):
                if not isinstance(name, str) or name in ("_sd", "...", "__proto__"):
                    bad(field, f"has a member that is not allowed: {name!r}")
                check_value(name, field, 1)
            check_value(inner, f"{field}/{name}", left - 1)
    else:
        bad(field, f"is not JSON: {type(value).__name__}")


def int_of(value):
    return value if value in (float("inf"), float("-inf")) else int(value)


def units(text):
    """Lengths are in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def check_text(value, field, most):
    if not isinstance(value, str) or not 1 <= units(value) <= most:
        bad(field, f"must be a string of 1 to {most} characters")


def check_party(value, field):
    if not isinstance(value, dict):
        bad(field, "must be an object with type and id")
    check_text(value.get("type"), f"{field}/type", 512)
    check_text(value.get("id"), f"{field}/id", 512)
    if "name" in value and not isinstance(value["name"], str):
        bad(f"{field}/name", "must be a string")


def check_list(value, field, most, each):
    if not isinstance(value, (list, tuple)) or len(value) > most:
        bad(field, f"must be an array of at most {most}")
    for i, item in enumerate(value):
        each(item, f"{field}/{i}")


def check_change(value, field):
    if not isinstance(value, dict) or not isinstance(value.get("path"), str):
        bad(field, "must be an object with a path")
    if set(value) - {"path", "before", "after"}:
        bad(field, "has a member that is none of path, before, after")


def check_object(value, field):
    if not isinstance(value, dict):
        bad(field, "must be an object")


def check_outcome(value, field):
    if value not in ("success", "failure", "denied"):
        bad(field, "must be success, failure or denied")


def check_time(value, field):
    match = DATE_TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        # A year 0 exists in RFC 3339, but not in Python; its days are those of a leap year.
        date(int(match[1]) or 2000, int(match[2]), int(match[3]))
    except (TypeError, ValueError):
        bad(field, "must be an RFC 3339 date-time")


CHECKS = {
    "action": lambda value, field: check_text(value, field, 256),
    "actor": check_party,
    "targets": lambda value, field: check_list(value, field, 1000, check_party),
    "outcome": check_outcome,
    "context": check_object,
    "metadata": check_object,
    "changes": lambda value, field: check_list(value, field, 10_000, check_change),
    "occurredAt": check_time,
}


def seconds(ms):
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def uuid7(ms):
    bits = ms << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    text = f"{bits:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def disclosure(salt, name, value):
    return b64u(print_json([b64u(salt), name, value]).encode())


def event_payload(source, stream, seq, prev, event_id, ms, disclosures):
    digests = sorted(b64u(hashlib.sha256(text.encode()).digest()) for text in disclosures)
    return {
        **{"iss": source, "stm": stream, "seq": seq},
        **({} if seq == 0 else {"prev": b64u(prev)}),
        **{"jti": event_id, "iat": seconds(ms), "_sd": digests, "_sd_alg": "sha-256"},
    }


def make_event(fields, source, stream, seq, prev, key):
    ms = time.time_ns() // 1_000_000
    shown = [disclosure(secrets.token_bytes(16), name, value) for name, value in fields.items()]
    payload = event_payload(source, stream, seq, prev, uuid7(ms), ms, shown)
    jws = key.jws(payload, "audit-event+sd-jwt")
    token = "~".join((jws, *shown, ""))
    if len(token) > MAX_EVENT_BYTES:
        raise Refused("event_too_large", f"{len(token)} bytes; at most {MAX_EVENT_BYTES} are allowed")
    return token, payload["jti"]


def event_leaf(token):
    """The event's identity: the leaf hash of what comes before the first ~."""
    return leaf_hash(token[: token.index("~")].encode())


# -------------------------------------------------------------------------------------------------------- §6 batches


def batch_payload(source, stream, seq, leaves, prev, ms):
    return {
        **{"iss": source, "stm": stream, "seq": seq, "n": len(leaves), "root": b64u(root_of(leaves))},
        **({} if seq == 0 else {"prev": b64u(prev)}),
        "iat": seconds(ms),
    }


def payload_of(token):
    return read_json(from_b64u(token.split("~")[0].split(".")[1]).decode())


# ---------------------------------------------------------------------------------------- §7 notes and checkpoints


def read_vkey(text):
    """@returns (name, key id, public key); the key is None for a type that is not Ed25519"""
    try:
        name, key_id, encoded = text.split("+", 2)
        data = from_b64(encoded)
    except (AttributeError, ValueError):
        raise Refused("vkey_invalid") from None
    if not name or re.search(r"[\s+]", name) or not re.fullmatch(r"[0-9a-f]{8}", key_id) or not data:
        raise Refused("vkey_invalid")
    if data[0] != 1:
        return name, key_id, None
    if len(data) != 33 or hashlib.sha256(name.encode() + b"\n" + data).hexdigest()[:8] != key_id:
        raise Refused("vkey_invalid")
    return name, key_id, data[1:]


def open_note(note, vkeys):
    """@returns its text, and the note with the signatures by known keys only"""
    known = [read_vkey(vkey) for vkey in vkeys]
    try:
        note.encode()
    except UnicodeEncodeError:
        raise Refused("note_malformed", "half a surrogate pair") from None
    if len(note) > 262_144 or any(char < " " and char != "\n" for char in note):
        raise Refused("note_malformed")
    at = note.rfind("\n\n")
    text, signatures = note[: at + 1], note[at + 2 :]
    if at == -1 or not signatures.endswith("\n"):
        raise Refused("note_malformed")
    lines = signatures[:-1].split("\n")
    if len(lines) > 64:
        raise Refused("note_too_many_signatures")
    parsed = []
    for line in lines:
        match = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)", line)
        try:
            data = from_b64(match[2])
        except (TypeError, ValueError):
            data = b""
        if len(data) < 5:
            raise Refused("note_malformed", "a signature line")
        parsed.append((line, match[1], data[:4].hex(), data[4:]))
    kept = []
    for line, name, key_id, signature in parsed:
        for known_name, known_id, key in known:
            if key is None or (known_name, known_id) != (name, key_id):
                continue
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(signature, text.encode())
            except InvalidSignature:
                raise Refused("signature_invalid") from None
            kept.append(line)
    if not kept:
        raise Refused("note_unverified")
    return text, "\n".join((text, *dict.fromkeys(kept), ""))


def read_checkpoint(text):
    """@returns (origin, size, root, extension lines)"""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() != "" or "" in lines:
        raise Refused("checkpoint_malformed")
    origin, size, root, *extensions = lines
    try:
        root = from_b64(root)
    except ValueError:
        root = b""
    if not re.fullmatch(r"0|[1-9]\d{0,19}", size, re.A) or int(size) >= 2**64 or len(root) != 32:
        raise Refused("checkpoint_malformed")
    return origin, int(size), root, extensions


# -------------------------------------------------------------------------------------------------------- the recorder


class Recorder:
    """One stream of a source, in a folder of its own that lasts. Threads may share it; processes may not.

    record() returns when the event is on disk; from then on it reaches the log, whatever becomes of this process. A thread
    hands in what waits: after `max_age` seconds, or when a batch is full.
    """

    def __init__(
        self, url, source, key, spool, log_key=None, fields=(), max_age=1.0, max_spool_bytes=64 << 20, timeout=30.0,
        on_error=lambda error: print(f"recorder: {error}", file=sys.stderr),
    ):  # fmt: skip
        if not re.fullmatch(SOURCE, source, re.A):
            raise Refused("option_invalid", "source")
        if log_key is not None and read_vkey(log_key)[2] is None:
            raise Refused("vkey_unsupported")
        self.url, self.source, self.key, self.folder = urllib.parse.urlsplit(url), source, key, spool
        self.declared, self.max_age, self.max_bytes = frozenset(fields), max_age, max_spool_bytes
        self.timeout, self.on_error = timeout, on_error
        self._turn = threading.Condition()
        self._flushing = self._asked = 0
        self._closed = self._broken = False
        self._problem = None
        os.makedirs(spool, mode=0o700, exist_ok=True)
        self._lock = open(os.path.join(spool, "lock"), "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused("spool_locked") from None
        self._load(log_key)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # What lasts: `state.json`, replaced as a whole, and `events`, which is only added to until it is replaced.

    def _load(self, log_key):
        path = os.path.join(self.folder, "state.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.state = read_json(file.read())
            if self.state["source"] != self.source:
                raise Refused("spool_corrupt", f"it is of the source {self.state['source']}")
        else:
            self.state = {
                **{"source": self.source, "stream": secrets.token_hex(8), "accepted": 0, "eventPrev": None},
                **{"batchPrev": None, "sending": None, "logKey": None, "pinned": None, "note": None},
                **{"receipts": [], "halted": None},
            }
        self._save(**({} if log_key is None else {"logKey": log_key, "pinned": "user"}))
        self._events = open(os.path.join(self.folder, "events"), "ab+")
        self._events.seek(0)
        data = self._events.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # cut off by a crash: its record() never returned
            self._events.truncate(whole)
            os.fsync(self._events.fileno())
        self._pending = []
        self._seq, self._prev = self.state["accepted"], from_b64u(self.state["eventPrev"] or "")
        for token in data[:whole].decode("ascii").splitlines():
            seq = payload_of(token)["seq"]
            if seq < self.state["accepted"]:
                continue
            if seq != self._seq:
                raise Refused("spool_corrupt", f"event {seq} where {self._seq} was expected")
            self._pending.append(token)
            self._seq, self._prev = seq + 1, event_leaf(token)
        self._bytes = sum(len(token) + 1 for token in self._pending)
        self._oldest = time.monotonic()

    def _save(self, **changes):
        state = {**self.state, **changes}
        self._replace("state.json", print_json(state).encode())
        self.state = state

    def _replace(self, name, data):
        """Either the old file or the new one is there, whatever happens."""
        path = os.path.join(self.folder, name)
        with open(path + ".new", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".new", path)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    # ------------------------------------------------------------------------------------------------------ recording

    def record(self, event):
        """@returns {"id", "seq", "leafHash"} once the event is durable. @raises Refused: nothing was recorded then"""
        fields = check_event(event, self.declared)
        with self._turn:
            if self._closed:
                raise Refused("log_closed")
            if self._broken:
                raise Refused("spool_failed", "an earlier write failed")
            seq = self._seq
            token, event_id = make_event(fields, self.source, self.state["stream"], seq, self._prev, self.key)
            if self._bytes + len(token) > self.max_bytes:
                raise Refused("spool_full")
            self._append(token)
            self._seq, self._prev = seq + 1, event_leaf(token)
            if not self._pending:
                self._oldest = time.monotonic()
            self._pending.append(token)
            self._bytes += len(token) + 1
            self._turn.notify_all()
            return {"id": event_id, "seq": seq, "leafHash": b64u(self._prev)}

    def _append(self, token):
        end = self._events.seek(0, os.SEEK_END)
        try:
            self._events.write(token.encode() + b"\n")
            self._events.flush()
            os.fsync(self._events.fileno())
        except OSError as error:
            # Nobody knows what is on disk now; the next start finds out.
            self._broken = True
            try:
                os.truncate(self._events.fileno(), end)
            except OSError:
                pass
            raise Refused("spool_failed", str(error)) from None

    @property
    def pending(self):
        """Events that the log has not accepted."""
        with self._turn:
            return len(self._pending)

    def flush(self, timeout=None):
        """Hands in all that was recorded so far. @returns whether the log has accepted it. @raises Refused what the service says"""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._turn:
            goal = self._seq
            self._flushing += 1
            self._asked += 1
            self._problem = None
            self._turn.notify_all()
            try:
                while self.state["accepted"] < goal:
                    if self._problem:
                        raise self._problem
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        return False
                    self._turn.wait(left)
                return True
            finally:
                self._flushing -= 1

    def close(self, timeout=10.0, end_stream=False):
        """Tries to hand in what waits. @returns how many events are left in the spool, for the next start"""
        if end_stream and self._seq > 0:
            target = {"type": "stream", "id": self.state["stream"]}
            actor = {"type": "source", "id": self.source}
            self.record({"action": "stream.close", "actor": actor, "targets": [target]})
        try:
            self.flush(timeout)
        except Refused as error:
            self.on_error(error)
        with self._turn:
            self._closed = True
            self._turn.notify_all()
        self._thread.join(self.timeout + 1)
        self._events.close()
        self._lock.close()
        return len(self._pending)

    # ---------------------------------------------------------------------------------------------------- handing in

    def _work(self):
        delay, last = 0.1, None
        while True:
            with self._turn:
                while not self._closed and not self._is_due():
                    self._turn.wait(self.max_age if self._pending and not self.state["halted"] else None)
                if self._closed:
                    return
            try:
                self._hand_in()
                delay, last, wait = 0.1, None, 0
            except Later as error:
                wait = delay if error.wait is None else error.wait
                delay, problem = min(delay * 2, 60), error
            except (Refused, Forked, OSError) as error:
                wait, problem = 60, error
                with self._turn:
                    # Only what the service or the disk says for good ends a flush.
                    self._problem = error if isinstance(error, Refused) else Refused("log_forked", str(error))
                    self._turn.notify_all()
            if wait:
                if str(problem) != last:
                    self.on_error(problem)
                last = str(problem)
                with self._turn:
                    asked = self._asked
                    self._turn.wait_for(lambda: self._closed or (wait >= 60 and self._asked != asked), wait)

    def _is_due(self):
        if not self._pending:
            return False
        if self.state["halted"]:
            self._problem = Refused("log_forked", self.state["halted"])
            self._turn.notify_all()
            return False
        is_full = len(self._pending) >= BATCH_EVENTS or self._bytes >= BATCH_BYTES
        return is_full or self._flushing > 0 or time.monotonic() - self._oldest >= self.max_age

    def _hand_in(self):
        """One batch, from the header to what the receipt allows to forget."""
        header, tokens = self._cut()
        body = "".join(f"{line}\n" for line in (header, *tokens)).encode("ascii")
        headers = {"content-type": "application/vnd.killick.batch", "content-encoding": "gzip"}
        status, answer, wait = self._ask("POST", "/v1/batches", gzip.compress(body, 6, mtime=0), headers)
        if status in (408, 429) or status >= 500:
            raise Later(f"the service answered {status}", wait)
        if not 200 <= status < 300:
            self._refused(status, answer)
        try:
            receipt, learned = self._check_receipt(header, answer)
        except Forked as fork:
            self._halt(fork)
            raise
        with self._turn:
            kept = [*self.state["receipts"], print_json(receipt)][-KEPT_RECEIPTS:]
            place = {"accepted": receipt["seq"] + receipt["n"], "eventPrev": b64u(event_leaf(tokens[-1]))}
            batch_prev = b64u(leaf_hash(header.encode()))
            self._save(**place, **learned, batchPrev=batch_prev, sending=None, receipts=kept)
            del self._pending[: len(tokens)]
            self._bytes = sum(len(token) + 1 for token in self._pending)
            self._oldest = time.monotonic()
            # What was accepted may go; a crash before this is made good at the next start.
            self._replace("events", "".join(f"{token}\n" for token in self._pending).encode())
            self._events.close()
            self._events = open(os.path.join(self.folder, "events"), "ab+")
            self._turn.notify_all()

    def _cut(self):
        """The batch that was begun, or a new one, whose header is on disk before anybody sees it: never two for one place."""
        with self._turn:
            header = self.state["sending"]
            if header is None:
                n = size = 0
                while n < min(len(self._pending), BATCH_EVENTS) and (n == 0 or size + len(self._pending[n]) < BATCH_BYTES):
                    size += len(self._pending[n]) + 1
                    n += 1
                leaves = [event_leaf(token) for token in self._pending[:n]]
                prev = from_b64u(self.state["batchPrev"] or "")
                ms = time.time_ns() // 1_000_000
                payload = batch_payload(self.source, self.state["stream"], self.state["accepted"], leaves, prev, ms)
                header = self.key.jws(payload, "audit-batch+jwt")
                self._save(sending=header)
            return header, self._pending[: payload_of(header)["n"]]

    def _ask(self, method, path, body=None, headers=None):
        """@returns (status, text, seconds to wait or None). Follows no redirect, and waits and reads no more than it should."""
        deadline = time.monotonic() + self.timeout
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.url.hostname, self.url.port, timeout=self.timeout)
        try:
            connection.request(method, self.url.path.rstrip("/") + path, body, headers or {})
            response = connection.getresponse()
            data = b""
            while len(data) <= MAX_ANSWER_BYTES:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Later("the service did not answer in time")
                if connection.sock is not None:
                    connection.sock.settimeout(left)
                piece = response.read1(65_536)
                if not piece:
                    break
                data += piece
            else:
                raise Later("the answer is too long")
            wait = response.getheader("retry-after") or ""
            return response.status, data.decode(), int(wait) if re.fullmatch(r"\d{1,4}", wait, re.A) else None
        except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
            raise Later(f"the service cannot be reached: {error!r}") from None
        finally:
            connection.close()

    def _refused(self, status, answer):
        try:
            problem = read_json(answer)
            code, detail = str(problem["code"]), str(problem.get("detail", ""))
        except (Refused, KeyError, TypeError, AttributeError):
            raise Later(f"the service answered {status}, and nothing that says why") from None
        expected = problem.get("expected")
        if code == "stream_gap" and isinstance(expected, dict) and isinstance(expected.get("seq"), int):
            if expected["seq"] < self.state["accepted"]:
                self._lost(answer)
        raise Refused(code, detail)

    def _lost(self, answer):
        """The log expects what it has given a receipt for: it is another log, or it has two histories."""
        status, text, _ = self._ask("GET", "/checkpoint")
        if status != 200:
            raise Later(f"/checkpoint answered {status}")
        if text.split("\n", 1)[0] != read_vkey(self.state["logKey"])[0]:
            return
        try:
            other = {"note": open_note(text, [self.state["logKey"]])[1], "receipt": None}
        except Refused:
            other = None  # The answer is the only evidence.
        fork = Forked("lost", other, "POST /v1/batches", answer)
        self._halt(fork)
        raise fork

    def _halt(self, fork):
        receipts = [json.loads(each) for each in self.state["receipts"]]
        under = [receipt for receipt in receipts if receipt["checkpoint"] == self.state["note"]]
        evidence = {
            **{"format": "killick-fork/1", "reason": fork.evidence["reason"]},
            **{"found": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")},
            **{"url": self.url.geturl(), "logKey": self.state["logKey"]},
            "known": {"note": self.state["note"], "receipt": under[-1] if under else None},
            **{name: fork.evidence[name] for name in ("other", "asked", "answer")},
        }
        self._replace("fork.json", print_json(evidence).encode())
        with self._turn:
            self._save(halted=fork.evidence["reason"])

    def _check_receipt(self, header, answer):
        """What §6 requires before a batch may be forgotten. @returns the receipt as it is kept, and what else to keep"""
        bad_receipt = lambda why: Refused("receipt_invalid", why)  # noqa: E731
        try:
            answered = read_json(answer)
            receipt = {name: answered[name] for name in ("source", "stream", "seq", "n", "logIndex", "size", "path", "checkpoint")}
            path = [hash_of(each) for each in receipt["path"]]
            index, size = receipt["logIndex"], receipt["size"]
            if not all(type(each) is int for each in (receipt["seq"], receipt["n"], index, size)):
                raise ValueError("a number is none")
        except (Refused, KeyError, TypeError, ValueError) as error:
            raise bad_receipt(f"it cannot be read: {error}") from None
        payload = payload_of(header)
        if [receipt[name] for name in ("source", "stream", "seq", "n")] != [payload[name] for name in ("iss", "stm", "seq", "n")]:
            raise bad_receipt("it is for another batch")
        if self.state["receipts"] and index <= json.loads(self.state["receipts"][-1])["logIndex"]:
            raise bad_receipt("its entry does not come after that of the last one")
        log_key = self.state["logKey"] or self._first_key()
        try:
            text, note = open_note(receipt["checkpoint"], [log_key])
            origin, note_size, root, _ = read_checkpoint(text)
        except (Refused, AttributeError) as error:
            raise bad_receipt(f"its note does not open: {error}") from None
        if origin != read_vkey(log_key)[0]:
            raise bad_receipt("its note is of another origin than the key")
        if note_size != size or not is_included(leaf_hash(header.encode()), index, size, path, root):
            raise bad_receipt("its path does not lead to the root in its note")
        kept = {"format": "killick-receipt/1", **receipt, "checkpoint": note, "header": header}
        if self.state["note"] is not None:
            self._check_consistency(kept, path, root)
        # Only what was proven becomes what later receipts are held against.
        learned = {"note": note}
        if self.state["logKey"] is None:
            learned.update(logKey=log_key, pinned="first_use")
            self.on_error(f"no log key was given: from now on it is {log_key}")
        elif self.state["note"] and size < read_checkpoint(open_note(self.state["note"], [log_key])[0])[1]:
            learned.clear()
        return kept, learned

    def _first_key(self):
        status, text, _ = self._ask("GET", "/v1/log")
        try:
            vkey = read_json(text)["vkey"]
            if status != 200 or read_vkey(vkey)[2] is None:
                raise ValueError
            return vkey
        except (Refused, KeyError, TypeError, ValueError):
            raise Later("/v1/log names no key") from None

    def _check_consistency(self, receipt, path, root):
        """The new note's tree extends the largest one known, or is extended by it."""
        _, old_size, old_root, _ = read_checkpoint(open_note(self.state["note"], [self.state["logKey"]])[0])
        size, other = receipt["size"], {"note": receipt["checkpoint"], "receipt": receipt}
        if size == old_size:
            if root == old_root:
                return
            raise Forked("roots", other)
        if receipt["logIndex"] == old_size:
            if root_before(old_size, size, path) == old_root:
                return
            raise Forked("roots", other)
        (small, small_root), (large, large_root) = sorted(((old_size, old_root), (size, root)))
        question = f"/v1/consistency?from={small}&to={large}"
        status, answer, _ = self._ask("GET", question)
        try:
            told = read_json(answer)
            steps = [hash_of(each) for each in told["path"]]
            if status != 200 or (told["from"], told["to"]) != (small, large):
                raise ValueError
        except (Refused, KeyError, TypeError, ValueError):
            raise Later(f"{question} has no usable answer") from None
        if not is_consistent(small, large, small_root, large_root, steps):
            raise Forked("consistency", other, f"GET {question}", answer)


def main():
    parser = argparse.ArgumentParser(description="Records each line of the input, one JSON object, as an event.")
    parser.add_argument("--url", required=True, help="of the service")
    parser.add_argument("--source", required=True, help="registered name of the system that records")
    parser.add_argument("--key", required=True, help="file with the source's private JWK, mode 600")
    parser.add_argument("--spool", required=True, help="folder where events wait; keep it")
    parser.add_argument("--log-key", help="verifier key of the log; without it, the first one is believed")
    parser.add_argument("--end-stream", action="store_true", help="end the stream behind the last event")
    options = parser.parse_args()
    refused = 0
    recorder = Recorder(options.url, options.source, read_key(options.key), options.spool, options.log_key)
    for line in sys.stdin:
        try:
            answer = recorder.record(read_json(line))
        except Refused as error:
            refused += 1
            answer = {"error": error.code, "message": str(error), "field": error.field}
        print(print_json(answer), flush=True)
    left = recorder.close(end_stream=options.end_stream)
    print(f"recorder: {left} events left in the spool, {refused} lines refused", file=sys.stderr)
    return 3 if left else 1 if refused else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refused as error:
        sys.exit(f"recorder: {error}")
