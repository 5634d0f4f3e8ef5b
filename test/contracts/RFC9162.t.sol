// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RFC9162} from "../../contracts/RFC9162.sol";
import {within} from "./Cheats.sol";
import {ReferenceTree} from "./ReferenceTree.sol";

/// @dev The library against the RFC's own recursive definitions.
contract RFC9162Test {
    using ReferenceTree for ReferenceTree.Tree;

    uint256 private constant MAX_SIZE = 70;

    function inclusion(bytes32 leaf, uint64 index, uint64 size, bytes32[] calldata path, bytes32 root)
        external
        view
        returns (bool)
    {
        return RFC9162.verifyInclusion(leaf, index, size, path, root);
    }

    function consistency(uint64 oldSize, uint64 newSize, bytes32 oldRoot, bytes32 newRoot, bytes32[] calldata path)
        external
        view
        returns (bool)
    {
        return RFC9162.verifyConsistency(oldSize, newSize, oldRoot, newRoot, path);
    }

    function testFuzz_HashesAreDomainSeparated(bytes calldata entry, bytes32 left, bytes32 right) external view {
        assert(RFC9162.leafHash(entry) == sha256(bytes.concat(hex"00", entry)));
        assert(RFC9162.nodeHash(left, right) == sha256(bytes.concat(hex"01", left, right)));
        assert(RFC9162.nodeHash(left, right) != RFC9162.leafHash(bytes.concat(left, right)));
    }

    function test_EmptyRoot() external pure {
        assert(RFC9162.EMPTY_ROOT == sha256(""));
    }

    function testFuzz_InclusionOfEveryLeaf(bytes32 seed, uint256 anySize) external view {
        ReferenceTree.Tree memory tree = ReferenceTree.distinct(seed);
        uint64 size = uint64(within(anySize, 1, MAX_SIZE));
        uint64 index = uint64(within(uint256(seed), 0, size - 1));
        (bytes32 leaf, bytes32 root) = (tree.leaf(index), tree.root(0, size));
        bytes32[] memory path = tree.inclusionPath(index, 0, size);
        assert(this.inclusion(leaf, index, size, path, root));
        assert(!this.inclusion(tree.leaf(index + 1), index, size, path, root));
        assert(!this.inclusion(leaf, size, size, path, root));
        corrupt(path, uint256(keccak256(abi.encode(seed))));
        assert(path.length == 0 || !this.inclusion(leaf, index, size, path, root));
    }

    function testFuzz_Consistency(bytes32 seed, uint256 anyOld, uint256 anyNew) external view {
        ReferenceTree.Tree memory tree = ReferenceTree.distinct(seed);
        uint64 newSize = uint64(within(anyNew, 0, MAX_SIZE));
        uint64 oldSize = uint64(within(anyOld, 0, newSize));
        (bytes32 oldRoot, bytes32 newRoot) = (tree.root(0, oldSize), tree.root(0, newSize));
        bytes32[] memory path = tree.consistencyPath(oldSize, newSize);
        assert(this.consistency(oldSize, newSize, oldRoot, newRoot, path));
        assert(!this.consistency(oldSize, newSize, ~oldRoot, newRoot, path));
        // Anything extends the empty tree.
        assert(oldSize == 0 || !this.consistency(oldSize, newSize, oldRoot, ~newRoot, path));
        corrupt(path, uint256(keccak256(abi.encode(seed))));
        assert(path.length == 0 || !this.consistency(oldSize, newSize, oldRoot, newRoot, path));
    }

    function testFuzz_InclusionAtAnySize(bytes32 seed, uint64 index, uint64 size) external view {
        if (index >= size) (index, size) = (size, index);
        if (index == size) return;
        ReferenceTree.Tree memory tree = ReferenceTree.uniform(seed);
        bytes32[] memory path = tree.inclusionPath(index, 0, size);
        assert(this.inclusion(tree.leaf(0), index, size, path, tree.root(0, size)));
    }

    function testFuzz_ConsistencyAtAnySize(bytes32 seed, uint64 oldSize, uint64 newSize) external view {
        if (oldSize > newSize) (oldSize, newSize) = (newSize, oldSize);
        ReferenceTree.Tree memory tree = ReferenceTree.uniform(seed);
        (bytes32 oldRoot, bytes32 newRoot) = (tree.root(0, oldSize), tree.root(0, newSize));
        bytes32[] memory path = tree.consistencyPath(oldSize, newSize);
        assert(this.consistency(oldSize, newSize, oldRoot, newRoot, path));
        if (oldSize == newSize) return;
        assert(!this.consistency(newSize, oldSize, newRoot, oldRoot, path));
    }

    /// @dev Whatever the arguments, the answer is false, not a revert and not true.
    function testFuzz_NonsenseIsRefused(uint64 a, uint64 b, bytes32 x, bytes32 y, bytes32[] calldata path)
        external
        view
    {
        assert(!this.inclusion(x, a, b, path, y));
        assert(a == b || !this.consistency(a, b, x, y, path));
    }

    /// @dev Flips one bit of one hash.
    function corrupt(bytes32[] memory path, uint256 which) private pure {
        if (path.length != 0) path[which % path.length] ^= bytes32(uint256(1) << (which >> 248));
    }
}
