// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev The few cheatcodes that the tests here use, out of those that Hardhat's test runner answers at this address.
interface Cheats {
    function prank(address sender) external;
    function warp(uint256 time) external;
    function expectRevert(bytes calldata revertData) external;
}

Cheats constant cheats = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));

/// @dev `x` brought into min..max, both included.
function within(uint256 x, uint256 min, uint256 max) pure returns (uint256) {
    return min + x % (max - min + 1);
}
