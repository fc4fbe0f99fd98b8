// SPDX-License-Identifier: GPL-2.0

//! Commands that make the device fail, for tests. Known only to a device with
//! [`Features::FAULTS`](crate::regs::Features::FAULTS).

use super::command;
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
        /// A queue stops with an error event.
        STOP_QUEUE = 16;
    }
}

/// Arms a fault. Several may be armed; each opportunity uses the first that fits.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InjectFault {
    /// [`FaultKind`].
    pub kind: U16,
    /// Only for commands with this opcode; 0xffff for any.
    pub opcode: U16,
    /// How many opportunities to let pass first.
    pub skip: U32,
    /// How often to fail; 0 for ever.
    pub count: U32,
    /// What the kind makes of it.
    pub param: U32,
}
layout!(InjectFault: 16 { kind @ 0, opcode @ 2, skip @ 4, count @ 8, param @ 12 });
command!(InjectFault = INJECT_FAULT, done (), none [u8; 0], pf);

/// Disarms all faults.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ClearFaults {}
command!(ClearFaults = CLEAR_FAULTS, done (), none [u8; 0], pf);
