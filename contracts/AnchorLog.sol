// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RFC9162} from "./RFC9162.sol";

/// @title AnchorLog: append-only heads of Merkle logs
/// @notice A log's publisher anchors (size, root) pairs of an RFC 9162 tree. The contract itself checks that each
/// anchored tree extends the one anchored before it, so nobody, the publisher included, can anchor a rewritten past. It
/// knows nothing of what the leaves mean.
///
/// Invariants, for every log and for as long as the chain lives:
/// I1. A log is opened once, and only its creator can open it: its id is the hash of (creator, origin hash).
/// I2. Only the log's publisher anchors.
/// I3. Anchored sizes only grow.
/// I4. Each anchored tree is consistent with every tree anchored before it.
/// I5. What is anchored stays anchored: no commitment is ever overwritten or deleted.
/// I6. The publisher changes only when the account that the log was offered to accepts it.
/// I7. The contract accepts no ether; ether that is forced into it, by a block reward or a self-destruct, cannot be
/// moved. It has no owner, no upgrade and no pause, and calls nothing but the SHA-256 precompile.
/// I8. No anchored size exceeds {MAX_SIZE}.
///
/// The contract cannot know whether the entries behind a root exist. Whoever holds the publisher's key can anchor a
/// root over invented entries, and then the true log can no longer be anchored. A limit on growth would not prevent
/// this, since one invented entry is enough. Earlier anchors stay as they are.
///
/// @dev Times are block times in seconds, 32 bits wide, so that a head fits one slot. From 2106-02-07 on, when they no
/// longer fit, the contract refuses anchors; what it holds stays readable.
contract AnchorLog {
    /// @notice The largest size that can be anchored, 2^53 - 1. Readers that keep numbers as IEEE 754 doubles (JSON,
    /// JavaScript) cannot tell larger sizes apart.
    uint64 public constant MAX_SIZE = 2 ** 53 - 1;

    /// @dev One slot.
    struct Head {
        address publisher;
        uint64 size;
        uint32 time;
    }

    mapping(bytes32 logId => Head) private heads;

    /// @dev keccak256(abi.encode(root, time)) of each anchored size; zero where nothing is anchored. Root and time
    /// together do not fit one slot, so the slot holds a hash of both, and the caller supplies them.
    mapping(bytes32 logId => mapping(uint64 size => bytes32)) private commitments;

    /// @notice The account to which the publisher has offered the log; zero if there is no offer.
    mapping(bytes32 logId => address) public offeredTo;

    /// @notice `publisher` opened a log.
    /// @param originHash SHA-256 of the log's origin line, by convention; the contract does not check it.
    event Opened(bytes32 indexed logId, address indexed publisher, bytes32 originHash);

    /// @notice The tree (size, root) was anchored at block time `time`.
    event Anchored(bytes32 indexed logId, uint64 indexed size, bytes32 root, uint32 time);

    /// @notice `publisher` offered the log to `to`, or withdrew its offer if `to` is zero.
    event PublisherOffered(bytes32 indexed logId, address indexed publisher, address indexed to);

    /// @notice `to` accepted the log and is now its publisher.
    event PublisherChanged(bytes32 indexed logId, address indexed from, address indexed to);

    /// @notice The caller has already opened this log.
    error AlreadyOpen(bytes32 logId);

    /// @notice The caller is not the log's publisher. `publisher` is zero if there is no such log.
    error NotPublisher(bytes32 logId, address publisher, address caller);

    /// @notice The size to anchor does not exceed the size anchored last.
    error SizeNotGrown(bytes32 logId, uint64 anchoredSize, uint64 size);

    /// @notice The size to anchor exceeds {MAX_SIZE}.
    error SizeOutOfRange(uint64 size);

    /// @notice `oldRoot` is not the root anchored at `anchoredSize` or, if nothing is anchored yet, not the empty root.
    error WrongOldRoot(bytes32 logId, uint64 anchoredSize, bytes32 oldRoot);

    /// @notice The proof does not show that (newSize, newRoot) extends (oldSize, oldRoot).
    error Inconsistent(bytes32 logId, uint64 oldSize, bytes32 oldRoot, uint64 newSize, bytes32 newRoot);

    /// @notice The log was not offered to the caller. `offered` is zero if there is no offer.
    error NotOffered(bytes32 logId, address offered, address caller);

    /// @notice The block time no longer fits 32 bits.
    error TimeOutOfRange(uint256 time);

    /// @notice Opens the caller's log for an origin. The caller becomes its publisher.
    /// @param originHash SHA-256 of the log's origin line, by convention.
    /// @return logId See {logIdOf}.
    function open(bytes32 originHash) external returns (bytes32 logId) {
        logId = logIdOf(msg.sender, originHash);
        if (heads[logId].publisher != address(0)) revert AlreadyOpen(logId);
        heads[logId].publisher = msg.sender;
        emit Opened(logId, msg.sender, originHash);
    }

    /// @notice Anchors the tree (size, root) if it extends the tree anchored last. Only the publisher may call this.
    /// @param size Number of leaves of the new tree: more than the tree anchored last has, at most {MAX_SIZE}.
    /// @param root Root of the new tree.
    /// @param oldRoot Root of the tree anchored last; SHA-256 of nothing for the first anchor.
    /// @param proof RFC 9162 consistency path from the tree anchored last to the new one; empty for the first anchor.
    function anchor(bytes32 logId, uint64 size, bytes32 root, bytes32 oldRoot, bytes32[] calldata proof) external {
        Head storage current = heads[logId];
        if (msg.sender != current.publisher) revert NotPublisher(logId, current.publisher, msg.sender);
        if (size <= current.size) revert SizeNotGrown(logId, current.size, size);
        if (size > MAX_SIZE) revert SizeOutOfRange(size);
        if (block.timestamp > type(uint32).max) revert TimeOutOfRange(block.timestamp);

        bool known =
            current.size == 0 ? oldRoot == RFC9162.EMPTY_ROOT : isAnchored(logId, current.size, oldRoot, current.time);
        if (!known) revert WrongOldRoot(logId, current.size, oldRoot);
        if (!RFC9162.verifyConsistency(current.size, size, oldRoot, root, proof)) {
            revert Inconsistent(logId, current.size, oldRoot, size, root);
        }

        uint32 time = uint32(block.timestamp);
        commitments[logId][size] = commitment(root, time);
        current.size = size;
        current.time = time;
        emit Anchored(logId, size, root, time);
    }

    /// @notice Offers the log to a new publisher. The offer replaces an earlier one; zero withdraws it. Nothing else
    /// changes until the new publisher accepts. Only the publisher may call this.
    function offerPublisher(bytes32 logId, address to) external {
        address publisher = heads[logId].publisher;
        if (msg.sender != publisher) revert NotPublisher(logId, publisher, msg.sender);
        offeredTo[logId] = to;
        emit PublisherOffered(logId, publisher, to);
    }

    /// @notice Makes the caller the log's publisher, if the log was offered to it.
    function acceptPublisher(bytes32 logId) external {
        address offered = offeredTo[logId];
        if (msg.sender != offered) revert NotOffered(logId, offered, msg.sender);
        delete offeredTo[logId];
        emit PublisherChanged(logId, heads[logId].publisher, msg.sender);
        heads[logId].publisher = msg.sender;
    }

    /// @notice The log's publisher, and the size and block time of its last anchor (both zero before the first). The
    /// publisher is zero if there is no such log.
    function head(bytes32 logId) external view returns (address publisher, uint64 size, uint32 time) {
        Head memory last = heads[logId];
        return (last.publisher, last.size, last.time);
    }

    /// @notice Whether the tree (size, root) was anchored at block time `time`.
    function isAnchored(bytes32 logId, uint64 size, bytes32 root, uint32 time) public view returns (bool) {
        return commitments[logId][size] == commitment(root, time);
    }

    /// @notice Whether the entry with hash `leafHash` is number `index` of the tree (size, root), and that tree was
    /// anchored at block time `time`.
    /// @param leafHash SHA-256(0x00 || entry).
    /// @param path RFC 9162 inclusion path, from the leaf to the root.
    function verifyInclusion(
        bytes32 logId,
        uint64 size,
        bytes32 root,
        uint32 time,
        bytes32 leafHash,
        uint64 index,
        bytes32[] calldata path
    ) external view returns (bool) {
        return isAnchored(logId, size, root, time) && RFC9162.verifyInclusion(leafHash, index, size, path, root);
    }

    /// @notice Id of the log that `creator` has opened, or could open, for an origin. It stays the same when the
    /// publisher changes.
    function logIdOf(address creator, bytes32 originHash) public pure returns (bytes32) {
        return keccak256(abi.encode(creator, originHash));
    }

    function commitment(bytes32 root, uint32 time) private pure returns (bytes32) {
        return keccak256(abi.encode(root, time));
    }
}
