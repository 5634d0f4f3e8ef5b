// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AnchorLog} from "../../contracts/AnchorLog.sol";
import {cheats, within} from "./Cheats.sol";
import {ReferenceTree} from "./ReferenceTree.sol";

/// @dev Does to one log, in whatever order the runner likes, all that anybody can do to it, and keeps its own account
/// of what the log must hold. What must be refused is tried too, and fails the run where it is not.
contract Handler {
    using ReferenceTree for ReferenceTree.Tree;

    struct Anchor {
        uint64 size;
        bytes32 root;
        uint32 time;
    }

    AnchorLog public immutable anchorLog;
    bytes32 public immutable logId;

    ReferenceTree.Tree private history = ReferenceTree.distinct("history");
    ReferenceTree.Tree private forgery = ReferenceTree.distinct("forgery");
    address[4] private actors = [address(0xa1), address(0xa2), address(0xa3), address(0xa4)];

    Anchor[] public anchors;
    address public publisher = actors[0];
    address public offered;

    constructor(AnchorLog anchorLog_) {
        anchorLog = anchorLog_;
        cheats.prank(publisher);
        logId = anchorLog_.open("origin");
    }

    function anchorCount() external view returns (uint256) {
        return anchors.length;
    }

    function last() public view returns (Anchor memory) {
        return anchors.length == 0 ? Anchor(0, history.root(0, 0), 0) : anchors[anchors.length - 1];
    }

    function wait(uint256 seconds_) external {
        cheats.warp(block.timestamp + within(seconds_, 0, 1 days));
    }

    function extend(uint256 growth) external {
        (uint64 oldSize, uint64 size) = grown(growth);
        bytes32 root = history.root(0, size);
        assert(tryAnchor(publisher, size, root, history.consistencyPath(oldSize, size)));
        anchors.push(Anchor(size, root, uint32(block.timestamp)));
    }

    function extendAsStranger(uint256 who, uint256 growth) external {
        (uint64 oldSize, uint64 size) = grown(growth);
        address stranger = actors[within(who, 0, 3)];
        bytes32[] memory proof = history.consistencyPath(oldSize, size);
        if (stranger != publisher) assert(!tryAnchor(stranger, size, history.root(0, size), proof));
    }

    function forge(uint256 growth) external {
        (uint64 oldSize, uint64 size) = grown(growth);
        bytes32[] memory proof = forgery.consistencyPath(oldSize, size);
        if (oldSize != 0) assert(!tryAnchor(publisher, size, forgery.root(0, size), proof));
    }

    function shrink(uint256 anySize) external {
        uint64 size = uint64(within(anySize, 0, last().size));
        assert(!tryAnchor(publisher, size, history.root(0, size), new bytes32[](0)));
    }

    function offer(uint256 who, uint256 to) external {
        address actor = actors[within(who, 0, 3)];
        address receiver = within(to, 0, 4) == 4 ? address(0) : actors[within(to, 0, 3)];
        cheats.prank(actor);
        try anchorLog.offerPublisher(logId, receiver) {
            assert(actor == publisher);
            offered = receiver;
        } catch {
            assert(actor != publisher);
        }
    }

    function accept(uint256 who) external {
        address actor = actors[within(who, 0, 3)];
        cheats.prank(actor);
        try anchorLog.acceptPublisher(logId) {
            assert(actor == offered);
            (publisher, offered) = (actor, address(0));
        } catch {
            assert(actor != offered);
        }
    }

    function reopen(uint256 who) external {
        address actor = actors[within(who, 0, 3)];
        cheats.prank(actor);
        try anchorLog.open("origin") returns (bytes32 opened) {
            assert(opened != logId);
        } catch {}
    }

    function grown(uint256 growth) private view returns (uint64 oldSize, uint64 size) {
        oldSize = last().size;
        size = oldSize + uint64(within(growth, 1, 9));
    }

    function tryAnchor(address from, uint64 size, bytes32 root, bytes32[] memory proof) private returns (bool) {
        bytes32 oldRoot = last().root;
        cheats.prank(from);
        try anchorLog.anchor(logId, size, root, oldRoot, proof) {
            return true;
        } catch {
            return false;
        }
    }
}

/// @dev The invariants named in AnchorLog.sol, after any sequence of the handler's deeds. I4 is in the handler: it
/// anchors nothing but extensions of one history, and its forgeries must fail.
contract AnchorLogInvariants {
    AnchorLog private anchorLog;
    Handler private handler;

    function setUp() external {
        anchorLog = new AnchorLog();
        handler = new Handler(anchorLog);
    }

    /// @dev Read by the runner: the only contract to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_I2_I6_PublisherChangesByAcceptanceOnly() external view {
        (address publisher,,) = anchorLog.head(handler.logId());
        assert(publisher == handler.publisher());
        assert(anchorLog.offeredTo(handler.logId()) == handler.offered());
    }

    function invariant_I3_SizesOnlyGrow() external view {
        (, uint64 size, uint32 time) = anchorLog.head(handler.logId());
        assert(size == handler.last().size);
        assert(time == handler.last().time);
        uint64 before = 0;
        for (uint256 i = 0; i < handler.anchorCount(); ++i) {
            (uint64 next,,) = handler.anchors(i);
            assert(next > before);
            before = next;
        }
    }

    function invariant_I5_WhatIsAnchoredStaysAnchored() external view {
        for (uint256 i = 0; i < handler.anchorCount(); ++i) {
            (uint64 size, bytes32 root, uint32 time) = handler.anchors(i);
            assert(anchorLog.isAnchored(handler.logId(), size, root, time));
            assert(!anchorLog.isAnchored(handler.logId(), size, ~root, time));
            assert(!anchorLog.isAnchored(handler.logId(), size, root, time + 1));
        }
    }

    function invariant_I7_HoldsNoEther() external view {
        assert(address(anchorLog).balance == 0);
    }
}

contract AnchorLogFuzz {
    using ReferenceTree for ReferenceTree.Tree;

    AnchorLog private anchorLog = new AnchorLog();

    /// @dev I1: an id is its creator's, whoever else opens whatever.
    function testFuzz_I1_IdsAreNotShared(address a, address b, bytes32 origin, bytes32 other) external {
        if (a == address(0) || b == address(0)) return;
        cheats.prank(a);
        bytes32 first = anchorLog.open(origin);
        assert(first == anchorLog.logIdOf(a, origin) && first == keccak256(abi.encode(a, origin)));
        bool again = a == b && origin == other;
        if (again) cheats.expectRevert(abi.encodeWithSelector(AnchorLog.AlreadyOpen.selector, first));
        cheats.prank(b);
        bytes32 second = anchorLog.open(other);
        assert(again || second != first);
    }

    /// @dev I4: two anchors and then every inclusion in either tree, through the contract.
    function testFuzz_I4_AnchoredLeavesAreProvable(bytes32 seed, uint256 anyOld, uint256 anyNew) external {
        ReferenceTree.Tree memory tree = ReferenceTree.distinct(seed);
        uint64 size = uint64(within(anyNew, 2, 40));
        uint64 oldSize = uint64(within(anyOld, 1, size - 1));
        (bytes32 oldRoot, bytes32 root) = (tree.root(0, oldSize), tree.root(0, size));
        bytes32 logId = anchorLog.open(seed);
        uint32 time = uint32(block.timestamp);
        anchorLog.anchor(logId, oldSize, oldRoot, tree.root(0, 0), new bytes32[](0));
        anchorLog.anchor(logId, size, root, oldRoot, tree.consistencyPath(oldSize, size));
        uint64 index = uint64(within(uint256(seed), 0, oldSize - 1));
        bytes32 leaf = tree.leaf(index);
        bytes32[] memory path = tree.inclusionPath(index, 0, size);
        assert(anchorLog.verifyInclusion(logId, size, root, time, leaf, index, path));
        assert(!anchorLog.verifyInclusion(logId, size, root, time + 1, leaf, index, path));
        assert(!anchorLog.verifyInclusion(logId, size, root, time, ~leaf, index, path));
        path = tree.inclusionPath(index, 0, oldSize);
        assert(anchorLog.verifyInclusion(logId, oldSize, oldRoot, time, leaf, index, path));
    }
}
