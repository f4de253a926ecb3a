// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

// The envelope of a message from one rollup to another, and its one name.
//
// A message's name (its hash) binds every field, both chain ids among them, in `abi.encode`'s fixed widths: no two envelopes
// share a name, and an envelope that was altered anywhere is another message, which nobody sent. Accounts are 32 bytes
// wide so that rollups with other accounts than the EVM's fit. What the systems of the field bind, and what happened to those
// that left a field out, is in the reference, protocols 1.0 (OP withdrawals, Hyperlane, Agglayer, Arbitrum).

// The version of the envelope that these contracts write and execute.
uint8 constant MESSAGE_VERSION = 1;
// Most gas that a message can ask for at its destination, and most call data, in bytes. The OP Stack's messenger pays for its own proxy
// (1/64 of all gas) and for hashing (3.5 per byte) out of a constant 200,000. With much more of either, that is too little and the
// first try at the destination fails, although it could be repeated by anyone.
uint64 constant MAX_MESSAGE_GAS = 3_000_000;
uint256 constant MAX_MESSAGE_DATA = 16_384;

/// @notice What a message is.
/// @param version Layout and meaning of the rest.
/// @param srcChainId Rollup that it was sent on.
/// @param dstChainId Rollup that it is for; never the source.
/// @param nonce Count of messages that the source's mailbox sent before.
/// @param sender Who sent it, an address left-padded with zeros.
/// @param target Whom to call, an address left-padded with zeros.
/// @param value Wei that travel with it.
/// @param gasLimit Gas that the call is guaranteed to have.
/// @param validUntil Last second, by the destination's clock, in which it may be executed.
/// @param data Call data.
struct Envelope {
    uint8 version;
    uint64 srcChainId;
    uint64 dstChainId;
    uint256 nonce;
    bytes32 sender;
    bytes32 target;
    uint256 value;
    uint64 gasLimit;
    uint64 validUntil;
    bytes data;
}

/// @notice An envelope with the hash of the data in the place of the data: all that its name needs, in constant size.
struct Header {
    uint8 version;
    uint64 srcChainId;
    uint64 dstChainId;
    uint256 nonce;
    bytes32 sender;
    bytes32 target;
    uint256 value;
    uint64 gasLimit;
    uint64 validUntil;
    bytes32 dataHash;
}

/// @dev The header of an envelope.
function headerOf(Envelope memory message) pure returns (Header memory) {
    return Header({
        version: message.version,
        srcChainId: message.srcChainId,
        dstChainId: message.dstChainId,
        nonce: message.nonce,
        sender: message.sender,
        target: message.target,
        value: message.value,
        gasLimit: message.gasLimit,
        validUntil: message.validUntil,
        dataHash: keccak256(message.data)
    });
}

/// @dev A message's name: keccak256(abi.encode("XMSG.v1", the header's fields one by one)).
function hashOf(Header memory header) pure returns (bytes32) {
    return keccak256(abi.encode("XMSG.v1", header));
}

/// @dev Gas that the destination's mailbox needs to take a message in and then call its target with `gasLimit`.
/// The 24 per byte, with the messenger's own 16, pay the floor price of call data (EIP-7623): a deposit below that price would
/// be refused by the rollup as a whole, and only what it mints would survive.
function deliveryGas(uint256 gasLimit, uint256 length) pure returns (uint32) {
    return uint32(160_000 + gasLimit * 64 / 63 + 24 * length);
}

/// @dev Gas that the router needs on L1 to send a message on with `onward` gas: its own work, and what the portal burns for the
/// deposit's gas (ResourceMetering), at the portal's lowest price.
function routingGas(uint256 onward, uint256 length) pure returns (uint32) {
    return uint32(600_000 + onward + 64 * length);
}
