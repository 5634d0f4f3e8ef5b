// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RFC9162} from "../../contracts/RFC9162.sol";

/// @dev Opens the library to callers from outside, many cases to a call.
contract RFC9162Harness {
    struct Inclusion {
        bytes32 leaf;
        uint64 index;
        uint64 size;
        bytes32[] path;
        bytes32 root;
    }

    struct Consistency {
        uint64 oldSize;
        uint64 newSize;
        bytes32 oldRoot;
        bytes32 newRoot;
        bytes32[] path;
    }

    function emptyRoot() external pure returns (bytes32) {
        return RFC9162.EMPTY_ROOT;
    }

    function leafHash(bytes calldata entry) external pure returns (bytes32) {
        return RFC9162.leafHash(entry);
    }

    function nodeHash(bytes32 left, bytes32 right) external view returns (bytes32) {
        return RFC9162.nodeHash(left, right);
    }

    function verifyInclusion(Inclusion[] calldata cases) external view returns (bool[] memory answers) {
        answers = new bool[](cases.length);
        for (uint256 i = 0; i < cases.length; ++i) {
            Inclusion calldata c = cases[i];
            answers[i] = RFC9162.verifyInclusion(c.leaf, c.index, c.size, c.path, c.root);
        }
    }

    function verifyConsistency(Consistency[] calldata cases) external view returns (bool[] memory answers) {
        answers = new bool[](cases.length);
        for (uint256 i = 0; i < cases.length; ++i) {
            Consistency calldata c = cases[i];
            answers[i] = RFC9162.verifyConsistency(c.oldSize, c.newSize, c.oldRoot, c.newRoot, c.path);
        }
    }
}
