#!/usr/bin/env python3
"""Holds recorder.py against the vectors of the protocol: check_vectors.py <folder of vectors>

What a recorder does or reads is checked: hashes, trees, JSON, thumbprints, the fields and the payload of an event, batches, notes,
checkpoints. What only a ledger or a verifier reads (refused JWS, refused batches, proofs) is none of its business.
"""
import base64
import json
import pathlib
import sys

from recorder import (
    Refused, b64u, batch_payload, check_event, event_leaf, event_payload, from_b64u, hash_of, is_consistent, is_included,
    leaf_hash, node_hash, open_note, payload_of, print_json, read_checkpoint, read_json, root_of, thumbprint,
)  # fmt: skip

folder = pathlib.Path(sys.argv[1])
counts, faults = {}, []


def load(name):
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def check(name, description, holds):
    counts[name] = counts.get(name, 0) + 1
    if not holds:
        faults.append(f"{name}: {description}")


def code_of(act):
    try:
        act()
        return None
    except Refused as error:
        return error.code


def hashes(texts):
    """Hashes of any length: whether they are any is for the check to say."""
    return [from_b64u(text) for text in texts]


hashing = load("hashing")
leaves = [leaf_hash(bytes.fromhex(entry)) for entry in hashing["entries"]]
check("hashing", "leaves", [b64u(leaf) for leaf in leaves] == hashing["leafHashes"])
left, right = hashes([hashing["node"]["left"], hashing["node"]["right"]])
check("hashing", "node", b64u(node_hash(left, right)) == hashing["node"]["hash"])
for n, root in enumerate(hashing["roots"]):
    check("hashing", f"root of {n}", b64u(root_of(leaves[:n])) == root)

for case in load("inclusion"):
    leaf, root = hashes([case["leafHash"], case["root"]])
    holds = is_included(leaf, int(case["index"]), int(case["size"]), hashes(case["path"]), root)
    check("inclusion", case["description"], holds == case["valid"])

for case in load("consistency"):
    old, new = hashes([case["oldRoot"], case["newRoot"]])
    holds = is_consistent(int(case["oldSize"]), int(case["newSize"]), old, new, hashes(case["path"]))
    check("consistency", case["description"], holds == case["valid"])

for case in load("json"):
    check("json", case["description"], code_of(lambda: read_json(case["text"])) == case.get("code"))

for case in load("jws"):
    if case["valid"]:
        header = read_json(from_b64u(case["token"].split(".")[0]).decode())
        check("thumbprints", case["description"], thumbprint(case["jwk"]) == header["kid"])

for case in load("events"):
    is_field = case.get("code") == "disclosure_field_invalid"
    if not case["valid"] and not is_field:
        continue
    shown = case["token"].split("~")[1:-1]
    fields = {name: value for _, name, value in (json.loads(from_b64u(text)) for text in shown)}
    whole = {"action": "a", "actor": {"type": "t", "id": "i"}, **fields}
    declared = () if is_field else fields
    check("fields", case["description"], (code_of(lambda: check_event(whole, declared)) is None) == case["valid"])
    if not case["valid"]:
        continue
    event = case["event"]
    check("events", case["description"], b64u(event_leaf(case["token"])) == event["leafHash"])
    if len(shown) == event["fieldCount"] and case["jwk"]:
        prev = hash_of(event["prev"]) if event["seq"] else None
        made = event_payload(event["source"], event["stream"], event["seq"], prev, event["id"], event["time"], shown)
        theirs = from_b64u(case["token"].split(".")[1]).decode()
        check("payloads", case["description"], made == read_json(theirs) and print_json(made) == theirs)

for case in load("batches"):
    if not case["valid"] or case["description"] == "unsigned events":
        continue
    header, *tokens = case["body"].rstrip("\n").split("\n")
    theirs = payload_of(header)
    prev = hash_of(theirs["prev"]) if theirs["seq"] else None
    first = payload_of(tokens[0])
    ms = round(theirs["iat"] * 1000)
    made = batch_payload(first["iss"], first["stm"], first["seq"], [event_leaf(token) for token in tokens], prev, ms)
    check("batches", case["description"], made == theirs)

for case in load("notes"):
    check("notes", case["description"], code_of(lambda: open_note(case["note"], case["vkeys"])) == case.get("code"))
    if case["valid"]:
        check("notes", case["description"], open_note(case["note"], case["vkeys"])[0] == case["text"])

for case in load("checkpoints"):
    if case["description"] == "a whole note" or case.get("code") == "note_malformed":
        continue
    read = None
    try:
        read = read_checkpoint(case["text"])
    except Refused as error:
        check("checkpoints", case["description"], error.code == case.get("code"))
    if read is not None:
        origin, size, root, extensions = read
        told = (case.get("origin"), case.get("size"), case.get("root"), case.get("extensions"))
        check("checkpoints", case["description"], (origin, str(size), b64u(root), extensions) == told)

print(json.dumps(counts))
for fault in faults:
    print(fault, file=sys.stderr)
sys.exit(1 if faults else 0)
