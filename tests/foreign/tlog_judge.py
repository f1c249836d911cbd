"""Reads a log with tlog-scales and builds the same tree with pymerkle; in their own environment.

    python tlog_judge.py <asked.json >answer.json

asked.json has `folder` (checkpoint and tiles), `keys` (as text), `entries` (hex, of all leaves),
`pairs` (old and new size) and `indexes`. answer.json has what the two say of root and proofs, in
hex, and which keys' signatures hold.
"""

import json
import sys
from pathlib import Path

from pymerkle import InmemoryTree
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey


def judge(asked: dict) -> dict:
    reader = TilesReader(LocalBackend(Path(asked["folder"])))
    checkpoint = reader.get_checkpoint()
    for key in asked["keys"]:
        checkpoint.verify(Vkey.from_string(key))
    tree = InmemoryTree(algorithm="sha256")
    for entry in asked["entries"]:
        tree.append_entry(bytes.fromhex(entry))
    consistency = {}
    for old, new in asked["pairs"]:
        proof = reader.get_consistency_proof(old, new)
        proof.check(tree.get_root(old), tree.get_root(new))
        consistency[f"{old} {new}"] = [each.hex() for each in proof.node_hashes]
    inclusion = {}
    for index in asked["indexes"]:
        proof = reader.get_inclusion_proof(index, checkpoint.size)
        proof.check(tree.get_leaf(index + 1), tree.get_root())
        inclusion[str(index)] = [each.hex() for each in proof.node_hashes]
    return {
        "size": checkpoint.size,
        "stated": checkpoint.root_hash.hex(),
        "from_tiles": reader.calculate_root_hash().hex(),
        "pymerkle": tree.get_root().hex(),
        "consistency": consistency,
        "inclusion": inclusion,
    }


if __name__ == "__main__":
    json.dump(judge(json.load(sys.stdin)), sys.stdout)
