// SPDX-License-Identifier: GPL-2.0

//! Commands that make the device fail, for tests. Known only to a device with
//! [`Features::FAULTS`](crate::regs::Features::FAULTS).

use super::{
    command,
    QueueKind, //
};
use crate::ids::FunctionId;
use crate::wire::*;

codes! {
    /// What goes wrong.
    pub struct FaultKind(u16) {
        /// A command is carried out but its completion never written.
        LOSE_COMPLETION = 1;
        /// A completion is written `param` milliseconds late.
        DELAY_COMPLETION = 2;
        /// A completion is written twice.
        DUPLICATE_COMPLETION = 3;
        /// A completion carries `param` as its tag.
        WRONG_TAG = 4;
        /// A completion carries `param` as its opcode.
        WRONG_OPCODE = 5;
        /// A completion carries `param` as its status; the command is not carried out.
        FAIL_COMMAND = 6;
        /// Result and data of a command are bytes from a generator seeded with `param`.
        GARBAGE_ANSWER = 7;
        /// The firmware stops: no heartbeat, no admin command is answered, until reset.
        HANG = 8;
        /// An interrupt is not raised.
        LOSE_INTERRUPT = 9;
        /// An RX completion carries `param` as its cookie.
        RX_WRONG_COOKIE = 10;
        /// An RX completion carries `param` as its length.
        RX_WRONG_LENGTH = 11;
        /// A TX completion carries its index advanced by `param`.
        TX_WRONG_INDEX = 12;
        /// `cq_tail` of a queue is written advanced by `param`, once.
        WRONG_CQ_TAIL = 13;
        /// Registers read as all ones and nothing answers, as if the device was pulled.
        VANISH = 14;
        /// An event carries `param` as its kind.
        WRONG_EVENT = 15;
        /// A queue stops with an error event: any, or the one that `param` names, see [`one_queue`].
        STOP_QUEUE = 16;
        /// An event is not written; its number is passed over.
        LOSE_EVENT = 17;
        /// Bit `param` of a piece of a stream that is read is flipped, any for 0xffffffff.
        CORRUPT_STREAM = 18;
        /// A part of a stream ends `param` bytes early.
        SHORT_STREAM = 19;
        /// The sender of a command reports an error to the bus: 0 correctable, 1 not fatal, 2 fatal.
        BUS_ERROR = 20;
        /// A register reads with the bits of `param` flipped, as something at random for 0.
        CORRUPT_REGISTER = 21;
        /// A word of what is written to memory has the bits of `param` flipped, or is another for 0.
        CORRUPT_WRITE = 22;
        /// A word that is published has the bits of `param` flipped, or is another for 0.
        CORRUPT_WORD = 23;
    }
}

/// [`InjectFault::opcode`] of a fault that is not limited to one command.
pub const ANY_OPCODE: u16 = 0xffff;

/// Bit of [`InjectFault::param`] by which [`FaultKind::STOP_QUEUE`] is for one queue alone.
pub const ONE_QUEUE: u32 = 1 << 31;

/// Returns the [`InjectFault::param`] by which [`FaultKind::STOP_QUEUE`] is for one queue alone: bits 30:24 are
/// its kind, bits 23:16 its index, bits 15:0 its function.
pub const fn one_queue(function: FunctionId, kind: QueueKind, index: u16) -> u32 {
    ONE_QUEUE | (kind.0 as u32 & 0x7f) << 24 | (index as u32 & 0xff) << 16 | function.0 as u32
}

/// Arms a fault. Several may be armed; each opportunity uses the first that fits.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InjectFault {
    /// [`FaultKind`].
    pub kind: U16,
    /// Only for commands with this opcode, or for the register at this offset; 0xffff for any.
    pub opcode: U16,
    /// How many opportunities to let pass first.
    pub skip: U32,
    /// How often to fail; 0 for ever.
    pub count: U32,
    /// What the kind makes of it.
    pub param: U32,
    /// One opportunity in so many is taken, drawn at random; 0 and 1 for each.
    pub chance: U32,
    /// What is drawn at random follows from this.
    pub seed: U32,
}
layout!(InjectFault: 24 {
    kind @ 0, opcode @ 2, skip @ 4, count @ 8, param @ 12, chance @ 16, seed @ 20,
});
command!(InjectFault = INJECT_FAULT, done (), none [u8; 0], pf);

/// Disarms all faults.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ClearFaults {}
command!(ClearFaults = CLEAR_FAULTS, done (), none [u8; 0], pf);
