// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Merkle tree checks of RFC 9162 (Certificate Transparency 2.0)
/// @notice Hashing (section 2.1.1), inclusion (2.1.3.2) and consistency (2.1.4.2) over SHA-256. Sizes and indices count
/// leaves, 0 to 2^64 - 1. A malformed proof returns false and never reverts.
///
/// A root does not determine the size of its tree, and a proof tells sizes apart only by its shape. For instance, a
/// proof of the first leaf in a tree of three leaves also passes for a tree of four. So always take size and root
/// together, from a source that vouches for both.
/// @dev The functions depend on their arguments alone. Those that hash nodes are declared `view` only because the
/// compiler cannot know that the SHA-256 precompile, called from assembly, reads no state.
library RFC9162 {
    /// @notice Root of the tree without leaves: SHA-256 of nothing.
    bytes32 internal constant EMPTY_ROOT = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855;

    /// @notice Hash of a leaf: SHA-256(0x00 || entry).
    function leafHash(bytes memory entry) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x00), entry));
    }

    /// @notice Hash of an inner node: SHA-256(0x01 || left || right).
    /// @dev Hashes in unallocated memory, past the free memory pointer. The built-in sha256(abi.encodePacked(..))
    /// allocates new memory each time, which costs more gas for every node of a proof.
    function nodeHash(bytes32 left, bytes32 right) internal view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore8(preimage, 0x01)
            mstore(add(preimage, 0x01), left)
            mstore(add(preimage, 0x21), right)
            // The precompile (address 2) fails only if it runs out of gas.
            if iszero(staticcall(gas(), 0x02, preimage, 0x41, 0x00, 0x20)) { revert(0x00, 0x00) }
            hash := mload(0x00)
        }
    }

    /// @notice Whether the leaf with hash `leaf` is number `index` of the tree with `size` leaves and root `root`.
    /// @dev RFC 9162 section 2.1.3.2, with its names `fn`, `sn` and `r`: at the current level, the index of the node
    /// above the leaf, the index of the last node, and the hash of the former. The RFC's loop is written as two. While
    /// the indices differ, every node has a sibling. Once they are equal, only a node with an odd index has one, on its
    /// left.
    /// @param path Sibling hashes, from the leaf to the root.
    function verifyInclusion(bytes32 leaf, uint64 index, uint64 size, bytes32[] calldata path, bytes32 root)
        internal
        view
        returns (bool)
    {
        if (index >= size) return false;
        uint256 fn = index;
        uint256 sn = uint256(size) - 1;
        bytes32 r = leaf;
        uint256 used = 0;
        unchecked {
            for (; fn != sn; sn >>= 1) {
                bytes32 sibling = step(path, used++);
                r = fn & 1 == 1 ? nodeHash(sibling, r) : nodeHash(r, sibling);
                fn >>= 1;
            }
            for (; fn != 0; fn >>= 1) {
                if (fn & 1 == 1) r = nodeHash(step(path, used++), r);
            }
        }
        return used == path.length && r == root;
    }

    /// @notice Whether the tree (newSize, newRoot) extends the tree (oldSize, oldRoot): it has the same leaves, and
    /// perhaps more after them.
    /// @dev RFC 9162 section 2.1.4.2, with its names `fn`, `sn`, `fr` and `sr`: at the current level, the indices of
    /// the last nodes of the old and the new tree, and the hashes that become the old and the new root. There are two
    /// loops, as in {verifyInclusion}. The RFC leaves out two cases: a tree extends itself, and every tree extends the
    /// empty one, both with an empty path.
    /// @param path Consistency path, in the order of the RFC.
    function verifyConsistency(
        uint64 oldSize,
        uint64 newSize,
        bytes32 oldRoot,
        bytes32 newRoot,
        bytes32[] calldata path
    ) internal view returns (bool) {
        if (oldSize > newSize) return false;
        if (oldSize == newSize) return path.length == 0 && oldRoot == newRoot;
        if (oldSize == 0) return path.length == 0 && oldRoot == EMPTY_ROOT;

        uint256 fn = uint256(oldSize) - 1;
        uint256 sn = uint256(newSize) - 1;
        while (fn & 1 == 1) {
            fn >>= 1;
            sn >>= 1;
        }
        uint256 used = 0;
        unchecked {
            // The last complete subtree of the old tree: the whole tree if its size is a power of two, else the first
            // hash of the path.
            bytes32 fr = fn == 0 ? oldRoot : step(path, used++);
            bytes32 sr = fr;
            for (; fn != sn; sn >>= 1) {
                bytes32 sibling = step(path, used++);
                if (fn & 1 == 1) {
                    fr = nodeHash(sibling, fr);
                    sr = nodeHash(sibling, sr);
                } else {
                    sr = nodeHash(sr, sibling);
                }
                fn >>= 1;
            }
            for (; fn != 0; fn >>= 1) {
                if (fn & 1 == 1) {
                    bytes32 sibling = step(path, used++);
                    fr = nodeHash(sibling, fr);
                    sr = nodeHash(sibling, sr);
                }
            }
            return used == path.length && fr == oldRoot && sr == newRoot;
        }
    }

    /// @dev The hash at `i` or, if the path is shorter, whatever calldata holds there: callers compare the path's
    /// length at the end, which costs less than a check at every step.
    function step(bytes32[] calldata path, uint256 i) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := calldataload(add(path.offset, shl(5, i)))
        }
    }
}
