// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    Envelope,
    Header,
    MAX_MESSAGE_DATA,
    MAX_MESSAGE_GAS,
    MESSAGE_VERSION,
    deliveryGas,
    hashOf,
    headerOf,
    routingGas
} from "./CrossRollupMessage.sol";
import {MessageRouter} from "./MessageRouter.sol";
import {ICrossDomainMessenger, L2_CROSS_DOMAIN_MESSENGER} from "./OpStack.sol";

/// @title CrossRollupMailbox
/// @notice On every rollup: sends messages to other rollups over L1, executes those that come, refunds those that can't be.
///
/// @dev The promise is that a message ends in exactly one of two ways: executed once at its destination, or refunded once at its source. The
/// problem is that neither rollup sees the other. The answer (protocols 1.A, R2 to R5; the OP Stack's expiry design) has one
/// place that decides: the destination. It executes a message only until `validUntil`, by its own clock, and gives its word that
/// the message expired only after; and once that word is given, nothing executes the message any more. The source refunds on that word
/// alone. So its refund period is the validity window, neither shorter (a double spend; router and source refuse such a word) nor a guess of
/// how long L1 takes.
///
/// At the destination, per message:
///
///     NONE ─deliver─► EXECUTED                          the call succeeded
///     NONE ─deliver─► FAILED ─replay─► EXECUTED         it didn't; anyone may try again until validUntil
///                     FAILED ─export─► EXPORTED         after validUntil; its value goes back
///     NONE ─export──► EXPIRED ─deliver─► LATE ─export─► EXPORTED      expired before it came: its word goes back first, and when it
///                                                                     comes after all, its value follows
///
/// `deliver` first takes the message into custody and then tries to execute it; it can't fail for a reason that a user controls, for
/// a deposit comes once. While a call runs, its message already counts as EXECUTED, which is undone with the call if that fails; so
/// a target that calls back finds nothing left to replay.
///
/// At the source: SENT ─► REFUNDED, or SENT ─► EXPIRED ─► REFUNDED when the word comes ahead of the value. The value of a
/// message is in one place at any time: on L1's way, held here as FAILED or LATE, with the target, or with the sender again. A refund
/// is made of the returned value itself; the mailbox never pays from what it holds for others.
///
/// The word (`returnUndelivered` on L1) counts because this contract sent it. A relayed message makes this contract call any target with
/// any data, so targets from which it could speak through the messenger are refused, when sending and again when executing (X5,
/// X13). The mailbox holds no tokens and has no rights anywhere but with the router; keep it that way.
contract CrossRollupMailbox {
    /// @notice What became of a message that was sent here.
    enum Outgoing {
        NONE,
        SENT,
        EXPIRED,
        REFUNDED
    }

    /// @notice What became of a message for this rollup.
    enum Incoming {
        NONE,
        FAILED,
        EXECUTED,
        EXPIRED,
        LATE,
        EXPORTED
    }

    /// @notice What the source remembers of a message.
    /// @param sender Who sent it and is refunded.
    /// @param validUntil Last second in which its destination executes it.
    /// @param state What became of it, as far as is known here.
    /// @param value Wei that travel with it.
    struct Sent {
        address sender;
        uint64 validUntil;
        Outgoing state;
        uint256 value;
    }

    /// @notice Longest time that a message may be valid, seconds: bounds for how long its value may be away.
    uint64 public constant MAX_VALIDITY = 30 days;
    /// @notice Gas that a refund's receiver gets; what needs more is claimed instead.
    uint256 public constant REFUND_GAS = 50_000;

    /// @dev Gas kept back for what follows a target's call.
    uint256 private constant _RESERVED_GAS = 40_000;
    /// @dev Gas that a call costs besides what its target gets (EIP-150: cold account, value, new account), and a little more.
    uint256 private constant _CALL_GAS = 45_000;
    /// @dev How much of a failed target's reason is kept, bytes: a target must not be able to make failing expensive.
    uint256 private constant _MAX_REASON = 256;

    /// @notice The MessageRouter on L1.
    address public immutable ROUTER;

    /// @notice Messages sent so far; the next one's nonce.
    uint256 public nonce;
    /// @notice What became of a message for this rollup.
    mapping(bytes32 msgHash => Incoming) public incoming;
    /// @notice Refunds, in wei, that their owners didn't take when pushed.
    mapping(address account => uint256) public claimable;
    mapping(bytes32 msgHash => Sent) private _sent;

    /// @dev Who sent the message that runs, and from where; zero between messages.
    bytes32 private transient _xSender;
    uint64 private transient _xChainId;

    /// @notice A message was sent.
    event MessageSent(
        bytes32 indexed msgHash, uint64 indexed dstChainId, bytes32 indexed sender, Envelope message
    );
    /// @notice A message was executed.
    event MessageExecuted(bytes32 indexed msgHash);
    /// @notice A message came and couldn't be executed; it and its value are kept.
    /// @dev `reason` is the target's revert data, cut, or one of this contract's errors.
    event MessageFailed(bytes32 indexed msgHash, bytes reason);
    /// @notice A message came after its source had been told that it expired; its value is kept until it is exported.
    event MessageLate(bytes32 indexed msgHash, uint256 value);
    /// @notice The source is told that a message expired; `value` goes with the word, zero if it isn't here.
    event MessageExported(bytes32 indexed msgHash, uint256 value, uint64 time);
    /// @notice A message sent from here will never be executed; its value is still on its way back.
    event MessageExpired(bytes32 indexed msgHash);
    /// @notice A message sent from here came back. `claimable` says that the sender didn't take the value when pushed.
    event MessageRefunded(bytes32 indexed msgHash, address indexed sender, uint256 value, bool claimable);
    /// @notice A refund was claimed.
    event RefundClaimed(address indexed account, address indexed to, uint256 value);

    /// @notice The caller isn't the messenger.
    error NotMessenger(address caller);
    /// @notice The messenger speaks for someone on L1 who isn't the router.
    error NotRouter(address sender);
    /// @notice Messages go to other rollups.
    error SameChain(uint64 chainId);
    /// @notice The message isn't for this rollup.
    error WrongChain(uint64 dstChainId);
    /// @notice The messenger can't be a sender: anyone on L1 can make it call.
    error UnsafeSender(address sender);
    /// @notice Nobody, the mailbox itself, or one of the OP Stack's predeploys: never called by messages.
    error UnsafeTarget(bytes32 target);
    /// @notice Data for an account without code, which would do nothing and succeed.
    error NoCode(bytes32 target);
    /// @notice More gas than a message may ask for.
    error GasLimitTooHigh(uint64 gasLimit);
    /// @notice More data than a message may have.
    error DataTooLong(uint256 length);
    /// @notice The last valid second is past, or further away than `MAX_VALIDITY`.
    error BadValidity(uint64 validUntil, uint256 time);
    /// @notice An envelope of another version.
    error UnknownVersion(uint8 version);
    /// @notice The call carries another value than the message says.
    error WrongValue(uint256 claimed, uint256 actual);
    /// @notice The message is here already.
    error AlreadyReceived(bytes32 msgHash, Incoming state);
    /// @notice The message isn't here, or can't be executed any more.
    error NotReplayable(bytes32 msgHash, Incoming state);
    /// @notice The message was executed or exported.
    error NotExportable(bytes32 msgHash, Incoming state);
    /// @notice The message may still be executed.
    error StillValid(uint64 validUntil, uint256 time);
    /// @notice The message may not be executed any more.
    error Expired(uint64 validUntil, uint256 time);
    /// @notice Another message runs; one must not run inside another.
    error Reentered();
    /// @notice Less gas than the target must have.
    error NotEnoughGas(uint64 gasLimit);
    /// @notice The target's call failed again, or can't be made; `reason` as in `MessageFailed`.
    error ReplayFailed(bytes32 msgHash, bytes reason);
    /// @notice Nothing of that name was sent from here, or it came back before.
    error NotOutstanding(bytes32 msgHash, Outgoing state);
    /// @notice Word of an expiry from before the message could have expired; the router should have refused it.
    error WordTooEarly(uint64 validUntil, uint64 expiredAt);
    /// @notice No message runs.
    error NoMessage();
    /// @notice There is no refund to claim.
    error NothingToClaim(address account);
    /// @notice The account doesn't take the refund.
    error ClaimFailed(address to);

    /// Only what the router sent may pass; the messenger says who sent it.
    modifier onlyRouter() {
        if (msg.sender != L2_CROSS_DOMAIN_MESSENGER) revert NotMessenger(msg.sender);
        address sender = ICrossDomainMessenger(msg.sender).xDomainMessageSender();
        if (sender != ROUTER) revert NotRouter(sender);
        _;
    }

    /// @notice Deploy without messages.
    /// @param router The MessageRouter on L1.
    constructor(address router) {
        ROUTER = router;
    }

    /// @notice Send a message, with the call's value, to another rollup.
    /// @param dstChainId Rollup that it is for. One that doesn't exist refunds, after L1 has said so.
    /// @param target Whom to call there, an address left-padded with zeros.
    /// @param gasLimit Gas that the call is guaranteed to have.
    /// @param validUntil Last second, by the destination's clock, in which it may be executed; a refund comes after.
    /// @param data Call data; for an account without code it must be empty.
    /// @return msgHash The message's name, here and there.
    function send(uint64 dstChainId, bytes32 target, uint64 gasLimit, uint64 validUntil, bytes calldata data)
        external
        payable
        returns (bytes32 msgHash)
    {
        if (dstChainId == block.chainid) revert SameChain(dstChainId);
        if (msg.sender == L2_CROSS_DOMAIN_MESSENGER) revert UnsafeSender(msg.sender);
        if (_unsafe(target)) revert UnsafeTarget(target);
        if (gasLimit > MAX_MESSAGE_GAS) revert GasLimitTooHigh(gasLimit);
        if (data.length > MAX_MESSAGE_DATA) revert DataTooLong(data.length);
        if (validUntil <= block.timestamp || validUntil > block.timestamp + MAX_VALIDITY) {
            revert BadValidity(validUntil, block.timestamp);
        }
        Envelope memory message = Envelope({
            version: MESSAGE_VERSION,
            srcChainId: uint64(block.chainid),
            dstChainId: dstChainId,
            nonce: nonce++,
            sender: bytes32(uint256(uint160(msg.sender))),
            target: target,
            value: msg.value,
            gasLimit: gasLimit,
            validUntil: validUntil,
            data: data
        });
        msgHash = hashOf(headerOf(message));
        _sent[msgHash] = Sent(msg.sender, validUntil, Outgoing.SENT, msg.value);
        emit MessageSent(msgHash, dstChainId, message.sender, message);
        ICrossDomainMessenger(L2_CROSS_DOMAIN_MESSENGER).sendMessage{value: msg.value}(
            ROUTER,
            abi.encodeCall(MessageRouter.forward, (message)),
            routingGas(deliveryGas(gasLimit, data.length), data.length)
        );
    }

    /// @notice Take in a message and try to execute it; only the router, through the messenger.
    /// @param message As it was sent; the call carries its value.
    function deliver(Envelope calldata message) external payable onlyRouter {
        if (message.dstChainId != block.chainid) revert WrongChain(message.dstChainId);
        if (msg.value != message.value) revert WrongValue(message.value, msg.value);
        bytes32 msgHash = messageHash(message);
        Incoming state = incoming[msgHash];
        if (state == Incoming.EXPIRED) {
            incoming[msgHash] = msg.value == 0 ? Incoming.EXPORTED : Incoming.LATE;
            emit MessageLate(msgHash, msg.value);
            return;
        }
        if (state != Incoming.NONE) revert AlreadyReceived(msgHash, state);
        incoming[msgHash] = Incoming.FAILED;
        (bool executed, bytes memory reason) = _execute(msgHash, message);
        if (!executed) emit MessageFailed(msgHash, reason);
    }

    /// @notice Try again to execute a message that failed; anyone may, with any gas above what the message asks for.
    /// @param message As it was sent.
    function replay(Envelope calldata message) external {
        bytes32 msgHash = messageHash(message);
        Incoming state = incoming[msgHash];
        if (state != Incoming.FAILED) revert NotReplayable(msgHash, state);
        (bool executed, bytes memory reason) = _execute(msgHash, message);
        if (!executed) revert ReplayFailed(msgHash, reason);
    }

    /// @notice Tell the source that a message expired unexecuted, and send its value back if it is here; anyone may.
    /// @dev Once for a message that is here; for one that isn't, once without its value and, should it come, once more with it.
    /// @param message As it was sent.
    function exportUndelivered(Envelope calldata message) external {
        if (message.dstChainId != block.chainid) revert WrongChain(message.dstChainId);
        if (block.timestamp <= message.validUntil) revert StillValid(message.validUntil, block.timestamp);
        Header memory header = headerOf(message);
        bytes32 msgHash = hashOf(header);
        Incoming state = incoming[msgHash];
        uint256 value;
        if (state == Incoming.NONE) {
            incoming[msgHash] = Incoming.EXPIRED;
        } else if (state == Incoming.FAILED || state == Incoming.LATE) {
            incoming[msgHash] = Incoming.EXPORTED;
            value = header.value;
        } else {
            revert NotExportable(msgHash, state);
        }
        emit MessageExported(msgHash, value, uint64(block.timestamp));
        ICrossDomainMessenger(L2_CROSS_DOMAIN_MESSENGER).sendMessage{value: value}(
            ROUTER,
            abi.encodeCall(MessageRouter.returnUndelivered, (header, uint64(block.timestamp))),
            routingGas(deliveryGas(0, 0), 0)
        );
    }

    /// @notice Take back a message sent from here; only the router, through the messenger.
    /// @param msgHash The message.
    /// @param expiredAt When its destination found it expired, unix seconds; zero if there was no way to the destination.
    function onUndelivered(bytes32 msgHash, uint64 expiredAt) external payable onlyRouter {
        Sent storage sent = _sent[msgHash];
        Outgoing state = sent.state;
        if (state == Outgoing.REFUNDED && msg.value == 0) return; // the word, overtaken by the value
        if (state != Outgoing.SENT && state != Outgoing.EXPIRED) revert NotOutstanding(msgHash, state);
        if (expiredAt != 0 && expiredAt <= sent.validUntil) revert WordTooEarly(sent.validUntil, expiredAt);
        if (msg.value != sent.value) {
            if (msg.value != 0) revert WrongValue(sent.value, msg.value);
            sent.state = Outgoing.EXPIRED;
            emit MessageExpired(msgHash);
            return;
        }
        sent.state = Outgoing.REFUNDED;
        address sender = sent.sender;
        bool pushed = msg.value == 0 || _transfer(sender, msg.value, REFUND_GAS);
        if (!pushed) claimable[sender] += msg.value;
        emit MessageRefunded(msgHash, sender, msg.value, !pushed);
    }

    /// @notice Take own refunds that couldn't be pushed.
    /// @param to Who receives them.
    function claim(address to) external {
        uint256 value = claimable[msg.sender];
        if (value == 0) revert NothingToClaim(msg.sender);
        claimable[msg.sender] = 0;
        emit RefundClaimed(msg.sender, to, value);
        if (!_transfer(to, value, gasleft())) revert ClaimFailed(to);
    }

    /// @notice What became of a message sent from here.
    /// @param msgHash The message.
    function outgoing(bytes32 msgHash) external view returns (Sent memory) {
        return _sent[msgHash];
    }

    /// @notice Who sent the message that runs, on its rollup; for targets. Reverts when no message runs.
    function xSender() external view returns (bytes32) {
        if (_xChainId == 0) revert NoMessage();
        return _xSender;
    }

    /// @notice Where the message that runs was sent; for targets. Reverts when no message runs.
    function xChainId() external view returns (uint64) {
        if (_xChainId == 0) revert NoMessage();
        return _xChainId;
    }

    /// @notice A message's name.
    /// @param message The message, sent or not.
    function messageHash(Envelope calldata message) public pure returns (bytes32) {
        return hashOf(headerOf(message));
    }

    /// Calls the target of a message that is here and FAILED; it is EXECUTED if that succeeds, and else FAILED as before.
    function _execute(bytes32 msgHash, Envelope calldata message) private returns (bool success, bytes memory reason) {
        if (block.timestamp > message.validUntil) {
            return (false, abi.encodeWithSelector(Expired.selector, message.validUntil, block.timestamp));
        }
        if (_xChainId != 0) return (false, abi.encodeWithSelector(Reentered.selector));
        if (message.version != MESSAGE_VERSION) {
            return (false, abi.encodeWithSelector(UnknownVersion.selector, message.version));
        }
        if (_unsafe(message.target)) return (false, abi.encodeWithSelector(UnsafeTarget.selector, message.target));
        address target = address(uint160(uint256(message.target)));
        if (message.data.length > 0 && target.code.length == 0) {
            return (false, abi.encodeWithSelector(NoCode.selector, message.target));
        }
        incoming[msgHash] = Incoming.EXECUTED;
        (_xSender, _xChainId) = (message.sender, message.srcChainId);
        (success, reason) = _call(target, message.value, message.gasLimit, message.data);
        (_xSender, _xChainId) = (bytes32(0), 0);
        if (success) emit MessageExecuted(msgHash);
        else incoming[msgHash] = Incoming.FAILED;
    }

    /// Calls with at least `gasLimit`, or not at all. Of what is left a call gets at most 63/64 (EIP-150), so
    /// left * 63 / 64 must cover it; the check is the one of the OP Stack's SafeCall.hasMinGas.
    function _call(address target, uint256 value, uint64 gasLimit, bytes memory data)
        private
        returns (bool success, bytes memory reason)
    {
        uint256 reserved = _RESERVED_GAS;
        uint256 longest = _MAX_REASON;
        if (gasleft() * 63 < uint256(gasLimit) * 64 + 63 * (_CALL_GAS + reserved)) {
            return (false, abi.encodeWithSelector(NotEnoughGas.selector, gasLimit));
        }
        assembly ("memory-safe") {
            success := call(sub(gas(), reserved), target, value, add(data, 32), mload(data), 0, 0)
            if iszero(success) {
                let length := returndatasize()
                if gt(length, longest) { length := longest }
                reason := mload(0x40)
                mstore(0x40, add(reason, and(add(length, 63), not(31))))
                mstore(reason, length)
                returndatacopy(add(reason, 32), 0, length)
            }
        }
    }

    function _transfer(address to, uint256 value, uint256 limit) private returns (bool success) {
        assembly ("memory-safe") {
            success := call(limit, to, value, 0, 0, 0, 0)
        }
    }

    /// Targets that messages never call: no address at all, nobody, this contract, and the whole range of the OP Stack's predeploys
    /// (0x4200…0000 to 0x4200…07ff), where messenger, message passer and bridges would take our word for our users'.
    function _unsafe(bytes32 target) private view returns (bool) {
        uint256 account = uint256(target);
        return account == 0 || account >> 160 != 0 || account == uint160(address(this))
            || account >> 11 == uint160(L2_CROSS_DOMAIN_MESSENGER) >> 11;
    }
}
