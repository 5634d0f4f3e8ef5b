// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev RFC 9162 section 2.1 as the RFC defines it, recursive and unhurried, over made-up leaves: leaf number i is
/// `leaf(seed, i)`. Where all leaves are the same, the root of any size up to 2^64 - 1 costs a hash a level at most.
library ReferenceTree {
    struct Tree {
        bytes32 seed;
        /// The root of 2^h leaves at h, from 0 to 63, if all leaves are the same; else empty.
        bytes32[] complete;
    }

    function distinct(bytes32 seed) internal pure returns (Tree memory) {
        return Tree(seed, new bytes32[](0));
    }

    function uniform(bytes32 seed) internal pure returns (Tree memory tree) {
        tree = Tree(seed, new bytes32[](64));
        tree.complete[0] = leaf(tree, 0);
        for (uint256 h = 1; h < 64; ++h) tree.complete[h] = node(tree.complete[h - 1], tree.complete[h - 1]);
    }

    function leaf(Tree memory tree, uint256 i) internal pure returns (bytes32) {
        return sha256(abi.encode(tree.seed, tree.complete.length != 0 ? 0 : i));
    }

    /// @dev MTH(D[from:from + n]), section 2.1.1.
    function root(Tree memory tree, uint256 from, uint256 n) internal pure returns (bytes32) {
        if (n == 0) return sha256("");
        if (n == 1) return leaf(tree, from);
        uint256 h = height(n);
        if (tree.complete.length != 0 && n == 2 << h) return tree.complete[h + 1];
        uint256 k = 1 << h;
        return node(root(tree, from, k), root(tree, from + k, n - k));
    }

    /// @dev PATH(m, D[from:from + n]), section 2.1.3.1.
    function inclusionPath(Tree memory tree, uint256 m, uint256 from, uint256 n)
        internal
        pure
        returns (bytes32[] memory)
    {
        if (n == 1) return new bytes32[](0);
        uint256 k = 1 << height(n);
        return m < k
            ? append(inclusionPath(tree, m, from, k), root(tree, from + k, n - k))
            : append(inclusionPath(tree, m - k, from + k, n - k), root(tree, from, k));
    }

    /// @dev PROOF(m, D[0:n]), section 2.1.4.1.
    function consistencyPath(Tree memory tree, uint256 m, uint256 n) internal pure returns (bytes32[] memory) {
        return m == 0 ? new bytes32[](0) : subProof(tree, m, 0, n, true);
    }

    function subProof(Tree memory tree, uint256 m, uint256 from, uint256 n, bool known)
        private
        pure
        returns (bytes32[] memory)
    {
        if (m == n) return known ? new bytes32[](0) : append(new bytes32[](0), root(tree, from, n));
        uint256 k = 1 << height(n);
        return m <= k
            ? append(subProof(tree, m, from, k, known), root(tree, from + k, n - k))
            : append(subProof(tree, m - k, from + k, n - k, false), root(tree, from, k));
    }

    function node(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }

    /// @dev That of the left subtree: 2^h is the largest power of two smaller than n, for n > 1.
    function height(uint256 n) private pure returns (uint256 h) {
        while (2 << h < n) ++h;
    }

    function append(bytes32[] memory list, bytes32 last) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) longer[i] = list[i];
        longer[list.length] = last;
    }
}
