// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CrossRollupMailbox} from "./CrossRollupMailbox.sol";
import {Envelope, Header, MAX_MESSAGE_DATA, deliveryGas, hashOf, headerOf} from "./CrossRollupMessage.sol";
import {CROSS_ROLLUP_MAILBOX, IL1CrossDomainMessenger} from "./OpStack.sol";
import {RollupDirectory} from "./RollupDirectory.sol";

/// @title MessageRouter
/// @notice On L1, once per devnet: passes finalized messages on from one rollup to another, and undelivered ones back.
///
/// @dev The rule of the hop is: at most once, and always forwards (protocols 1.A, R1). Nothing that a user chose can make it fail, because
/// a withdrawal is finalized only once: what the destination can't take (no such rollup, too much gas or data) turns round
/// and refunds its sender. If a portal's gas of this L1 block is used up, the call fails as a whole, the source's messenger
/// keeps message and value, and anyone replays it there.
///
/// The router executes nothing. It believes a rollup's mailbox, as its finalized withdrawals show it, on
/// exactly two things: that a message was sent there, and that a message *for that rollup* expired there without
/// being executed. The second may come before the first (a withdrawal that nobody finalized in time). Then the router
/// holds the word (`CANCELLED`), and turns the message back when it comes.
///
/// Value: what comes in with a call leaves with it, to one of the two rollups; the router never holds any. A message's value can go back
/// once, and only after it went forward or instead of going forward, so a rollup whose mailbox lies takes its own portal's
/// ether, nobody else's.
///
///     NONE ──forward──► FORWARDED ──returned with its value──► RETURNED
///     NONE ──forward, no such rollup───────────────────────────► RETURNED
///     NONE ──expired, nothing came──► CANCELLED ──forward──────► RETURNED
contract MessageRouter is RollupDirectory {
    /// @notice What became of a message here.
    enum Route {
        NONE,
        FORWARDED,
        RETURNED,
        CANCELLED
    }

    /// @notice Gas that the source's mailbox has to take a returned message in.
    uint32 public constant RETURN_GAS = 220_000;
    /// @dev Longest delivery, in bytes: the most data that mailboxes take, and the envelope around it.
    uint256 private constant _MAX_DELIVERY = MAX_MESSAGE_DATA + 512;

    /// @notice What became of a message here.
    mapping(bytes32 msgHash => Route) public routes;
    /// @notice When a cancelled message was found expired, by its destination's clock.
    mapping(bytes32 msgHash => uint64) public expiredAt;

    /// @notice A message went on to its destination.
    event MessageRouted(bytes32 indexed msgHash, uint64 indexed srcChainId, uint64 indexed dstChainId);
    /// @notice A message can't be delivered; its source is told, and gets `value`.
    /// @dev `expiredAt` is zero if there was no way to the destination. A message whose value is still on its way returns twice:
    /// first its word, without value, then its value.
    event MessageReturned(
        bytes32 indexed msgHash, uint64 indexed srcChainId, uint64 indexed dstChainId, uint256 value, uint64 expiredAt
    );

    /// @notice The message names another source than the rollup that it came from.
    error WrongSource(uint64 claimed, uint64 actual);
    /// @notice The message names another destination than the rollup that returns it.
    error WrongDestination(uint64 claimed, uint64 actual);
    /// @notice The call carries another value than the message says.
    error WrongValue(uint256 claimed, uint256 actual);
    /// @notice Word of an expiry from before the message could have expired.
    error WordTooEarly(uint64 validUntil, uint64 expiredAt);
    /// @notice The message passed here before.
    error AlreadyRouted(bytes32 msgHash, Route route);
    /// @notice A rollup returns a value that it was never sent.
    error NeverRouted(bytes32 msgHash);
    /// @notice A message says that it came from a rollup that doesn't exist.
    error UnknownRollup(uint64 chainId);

    /// @notice Deploy for good.
    /// @param rollups All rollups that messages can go between.
    constructor(Rollup[] memory rollups) RollupDirectory(rollups) {}

    /// @notice Pass a message on to its destination, or back when there is no way to it.
    /// @param message As the source's mailbox sent it; the call carries its value.
    function forward(Envelope calldata message) external payable {
        uint64 source = _rollupOf(CROSS_ROLLUP_MAILBOX);
        if (message.srcChainId != source) revert WrongSource(message.srcChainId, source);
        if (msg.value != message.value) revert WrongValue(message.value, msg.value);
        bytes32 msgHash = hashOf(headerOf(message));
        Route route = routes[msgHash];
        IL1CrossDomainMessenger messenger = messengerOf[message.dstChainId];
        bytes memory delivery = abi.encodeCall(CrossRollupMailbox.deliver, (message));
        uint32 needed = deliveryGas(message.gasLimit, message.data.length);
        if (route == Route.NONE && message.dstChainId != source && _takes(messenger, delivery, needed)) {
            routes[msgHash] = Route.FORWARDED;
            emit MessageRouted(msgHash, source, message.dstChainId);
            messenger.sendMessage{value: msg.value}(CROSS_ROLLUP_MAILBOX, delivery, needed);
        } else if (route == Route.NONE || route == Route.CANCELLED) {
            routes[msgHash] = Route.RETURNED;
            // A cancelled message without value has nothing left to return: its word went ahead of it.
            if (route == Route.NONE || msg.value > 0) {
                _return(msgHash, source, message.dstChainId, expiredAt[msgHash]);
            }
        } else {
            revert AlreadyRouted(msgHash, route);
        }
    }

    /// @notice Pass a destination's word that a message expired there unexecuted, and the message's value if it is there, back to the source.
    /// @param header The message.
    /// @param time When the destination found it expired, by its clock, unix seconds.
    function returnUndelivered(Header calldata header, uint64 time) external payable {
        uint64 destination = _rollupOf(CROSS_ROLLUP_MAILBOX);
        if (header.dstChainId != destination) revert WrongDestination(header.dstChainId, destination);
        if (address(messengerOf[header.srcChainId]) == address(0)) revert UnknownRollup(header.srcChainId);
        if (msg.value != 0 && msg.value != header.value) revert WrongValue(header.value, msg.value);
        if (time <= header.validUntil) revert WordTooEarly(header.validUntil, time);
        bytes32 msgHash = hashOf(header);
        Route route = routes[msgHash];
        if (route == Route.NONE) {
            if (msg.value != 0) revert NeverRouted(msgHash);
            routes[msgHash] = Route.CANCELLED;
            expiredAt[msgHash] = time;
        } else if (route == Route.FORWARDED) {
            if (msg.value == header.value) routes[msgHash] = Route.RETURNED;
        } else {
            // Withdrawals are finalized in any order: a word without value may come after the value, and then says nothing new.
            if (msg.value == 0) return;
            revert AlreadyRouted(msgHash, route);
        }
        _return(msgHash, header.srcChainId, destination, time);
    }

    function _return(bytes32 msgHash, uint64 source, uint64 destination, uint64 time) private {
        emit MessageReturned(msgHash, source, destination, msg.value, time);
        messengerOf[source].sendMessage{value: msg.value}(
            CROSS_ROLLUP_MAILBOX, abi.encodeCall(CrossRollupMailbox.onUndelivered, (msgHash, time)), RETURN_GAS
        );
    }

    /// Whether there is such a rollup and its portal would ever let a deposit of that size through. What a user asks for may be too
    /// much for a small rollup, which its mailbox on another can't know.
    function _takes(IL1CrossDomainMessenger messenger, bytes memory delivery, uint32 gasLimit)
        private
        view
        returns (bool)
    {
        if (address(messenger) == address(0) || delivery.length > _MAX_DELIVERY) return false;
        return messenger.baseGas(delivery, gasLimit) <= messenger.systemConfig().resourceConfig().maxResourceLimit;
    }
}
