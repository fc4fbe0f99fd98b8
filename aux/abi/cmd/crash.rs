// SPDX-License-Identifier: GPL-2.0

//! The command that reads what the firmware did before it stopped last. Known only to a device with
//! [`Features::CRASH_DUMP`](crate::regs::Features::CRASH_DUMP).

use super::command;
use crate::wire::*;

/// Commands that a [`CrashDump`] has room for.
pub const CRASH_COMMANDS: usize = 64;

/// Reads the dump of the firmware's last crash, into the data buffer: also after the reset that mended it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReadCrash {}
command!(ReadCrash = READ_CRASH, done (), from_device CrashDump, pf);

/// What [`ReadCrash`] writes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CrashDump {
    /// When the firmware stopped, by the device clock; 0 if it never did.
    pub time: U64,
    /// How often it did.
    pub crashes: U32,
    /// Number of commands that follow.
    pub count: U32,
    /// Version of the firmware that stopped, as in register `FirmwareVersion`.
    pub firmware: U32,
    /// Reserved.
    pub rsvd: [u8; 44],
    /// The last commands that it was sent, oldest first. The last is the one that it stopped over.
    pub commands: [CrashCommand; CRASH_COMMANDS],
}
layout!(CrashDump: 2112 {
    time @ 0, crashes @ 8, count @ 12, firmware @ 16, rsvd @ 20, commands @ 64,
});

/// A command that the firmware was sent.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CrashCommand {
    /// When, by the device clock.
    pub time: U64,
    /// [`Opcode`](crate::admin::Opcode).
    pub opcode: U16,
    /// Its tag.
    pub tag: U16,
    /// `FunctionId` of the sender.
    pub sender: U16,
    /// `FunctionId` of the function that it was about.
    pub function: U16,
    /// What it was answered, a [`Status`](crate::admin::Status); 0xffff if it was not.
    pub status: U16,
    /// Reserved.
    pub rsvd: [u8; 14],
}
layout!(CrashCommand: 32 {
    time @ 0, opcode @ 8, tag @ 10, sender @ 12, function @ 14, status @ 16, rsvd @ 18,
});
