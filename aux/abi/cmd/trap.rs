// SPDX-License-Identifier: GPL-2.0

//! Commands about packets that the device drops: they are counted by cause, and the driver can have those of a cause handed
//! to it. Known only to a device with [`Features::TRAPS`](crate::regs::Features::TRAPS).

use super::command;
use crate::wire::*;

codes! {
    /// Why a packet is dropped.
    pub struct TrapCause(u16) {
        /// It carries a VLAN tag, and its sender is in a VLAN of its own.
        VLAN_MISMATCH = 0;
        /// It is of another VLAN than the one that its receiver is in.
        VLAN_FILTER = 1;
        /// Nobody receives for its destination.
        DESTINATION = 2;
        /// It is for a group that nobody receives.
        NO_RECEIVER = 3;
        /// It is for where it came from.
        SAME_PORT = 4;
        /// Its sender may not send from its source.
        SPOOFED = 5;
        /// A rule says so.
        RULE = 6;
    }
}

codes! {
    /// What becomes of packets that are dropped for a cause, beside being counted.
    pub struct TrapAction(u16) {
        /// Nothing.
        DROP = 0;
        /// They are handed to the driver of the PF, as far as the policer lets them.
        TRAP = 1;
    }
}

/// Policers that there are, numbered from 1; 0 is none.
pub const TRAP_POLICERS: u16 = 4;
/// Packets that wait for the driver, at most. Further ones are dropped, and counted as those that a policer dropped.
pub const MAX_TRAPPED: u16 = 256;

/// Sets what becomes of the packets that are dropped for a cause.
///
/// `INVALID_FIELD` if there is no such cause, action or policer.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetTrap {
    /// [`TrapCause`].
    pub cause: U16,
    /// [`TrapAction`].
    pub action: U16,
    /// The policer, 0 for none.
    pub policer: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(SetTrap: 8 { cause @ 0, action @ 2, policer @ 4, rsvd @ 6 });
command!(SetTrap = SET_TRAP, done (), none [u8; 0], pf);

/// Sets how many packets a policer lets through.
///
/// `INVALID_FIELD` if there is no such policer, or a number is 0.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetTrapPolicer {
    /// The policer.
    pub policer: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
    /// Packets a second.
    pub rate: U32,
    /// Packets at once.
    pub burst: U32,
}
layout!(SetTrapPolicer: 12 { policer @ 0, rsvd @ 2, rate @ 4, burst @ 8 });
command!(SetTrapPolicer = SET_TRAP_POLICER, done (), none [u8; 0], pf);

/// Tells the counters of causes and policers, in the data buffer.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryTraps {}
command!(QueryTraps = QUERY_TRAPS, done (), from_device TrapStats, pf);

/// What [`QueryTraps`] writes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TrapStats {
    /// Packets that were dropped for each cause and not handed to the driver.
    pub dropped: [U64; 8],
    /// Packets that each policer dropped, by its number less one.
    pub policed: [U64; 4],
}
layout!(TrapStats: 96 { dropped @ 0, policed @ 64 });

/// Takes the packet that waits for the driver the longest, into the data buffer, as far as there is room.
///
/// `BAD_STATE` if none waits.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReadTrapped {}
command!(ReadTrapped = READ_TRAPPED, done ReadTrappedDone, from_device TrappedPacket, pf);

/// What [`ReadTrapped`] tells of a packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReadTrappedDone {
    /// [`TrapCause`].
    pub cause: U16,
    /// `FunctionId` of who sent it, or, for [`TrapCause::VLAN_FILTER`], was to receive it; [`UPLINK`](super::UPLINK) for
    /// the uplink.
    pub port: U16,
    /// Its length in bytes, in the data buffer or not.
    pub length: U16,
    /// Packets that still wait.
    pub left: U16,
}
layout!(ReadTrappedDone: 8 { cause @ 0, port @ 2, length @ 4, left @ 6 });

/// The bytes of a packet, from the destination address on.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TrappedPacket {
    /// The bytes.
    pub bytes: [u8; 4096],
}
layout!(TrappedPacket: 4096 { bytes @ 0 });
