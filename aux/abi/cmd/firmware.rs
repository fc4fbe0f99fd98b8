// SPDX-License-Identifier: GPL-2.0

//! Commands about firmware: what there is, how an image is written, and how it comes to run. What an image is, is in
//! [`crate::firmware`]. Known only to a device with [`Features::FLASH`](crate::regs::Features::FLASH).

use super::command;
use crate::wire::*;

codes! {
    /// What an image may replace beside the firmware itself.
    pub struct FlashOverwrite(u16) {
        /// The set of parameters.
        SETTINGS = 1 << 0;
        /// The identity of the board.
        IDENTIFIERS = 1 << 1;
    }
}

/// Tells of the images of a component, in the data buffer.
///
/// `INVALID_FIELD` if there is no such component.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryFirmware {
    /// [`FirmwareComponent`](crate::firmware::FirmwareComponent).
    pub component: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(QueryFirmware: 4 { component @ 0 });
command!(QueryFirmware = QUERY_FIRMWARE, done (), from_device FirmwareInfo, pf);

/// What [`QueryFirmware`] writes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FirmwareInfo {
    /// Version that runs, as in register `FirmwareVersion`.
    pub running: U32,
    /// Version that runs after the next activation or power-on.
    pub stored: U32,
    /// Slot that the running one came from.
    pub running_slot: u8,
    /// Slot that the stored one is in.
    pub stored_slot: u8,
    /// Number of slots.
    pub slots: u8,
    /// 1 after [`ActivateFirmware`], until the reset.
    pub activating: u8,
    /// Reserved.
    pub rsvd: [u8; 4],
    /// Name of the set of parameters that is in force, ASCII, padded with zeros.
    pub psid: [u8; 32],
    /// Identity of the board, ASCII, padded with zeros.
    pub board: [u8; 32],
    /// Reserved.
    pub rsvd2: [u8; 48],
}
layout!(FirmwareInfo: 128 {
    running @ 0, stored @ 4, running_slot @ 8, stored_slot @ 9, slots @ 10, activating @ 11, rsvd @ 12, psid @ 16,
    board @ 48, rsvd2 @ 80,
});

/// Begins to write an image, to the slot that is not running. What was in it is lost; what was begun before is given up.
///
/// `INVALID_FIELD` if there is no such component, or the length is not one that an image can have.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BeginFlash {
    /// [`FirmwareComponent`](crate::firmware::FirmwareComponent).
    pub component: U16,
    /// [`FlashOverwrite`].
    pub overwrite: U16,
    /// Length of the image in bytes.
    pub length: U32,
}
layout!(BeginFlash: 8 { component @ 0, overwrite @ 2, length @ 4 });
command!(BeginFlash = BEGIN_FLASH, done (), none [u8; 0], pf);

/// Writes a part of an image, in order.
///
/// `BAD_STATE` unless one was begun; `INVALID_FIELD` if the offset is not where the last part ended, or the part is empty
/// or passes the end.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WriteFlash {
    /// Offset in the image.
    pub offset: U32,
    /// Length of the part in bytes.
    pub length: U32,
}
layout!(WriteFlash: 8 { offset @ 0, length @ 4 });
command!(WriteFlash = WRITE_FLASH, done (), to_device FlashChunk, pf);

/// A part of an image, as long as the command says.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlashChunk {
    /// The bytes.
    pub bytes: [u8; 4096],
}
layout!(FlashChunk: 4096 { bytes @ 0 });

/// Ends the writing of an image, and checks it. One that is good is stored: it runs after the next activation or
/// power-on.
///
/// `BAD_STATE` unless one was begun.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EndFlash {}
command!(EndFlash = END_FLASH, done FlashVerdict, none [u8; 0], pf);

/// What became of an image.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlashVerdict {
    /// [`ImageFault`](crate::firmware::ImageFault): if there is one, nothing but the slot that was written to changed.
    pub fault: U16,
    /// The slot.
    pub slot: u8,
    /// Reserved.
    pub rsvd: u8,
}
layout!(FlashVerdict: 4 { fault @ 0, slot @ 2, rsvd @ 3 });

/// Has the next reset of the PF by its driver start what is stored of all components, be it what runs already.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ActivateFirmware {}
command!(ActivateFirmware = ACTIVATE_FIRMWARE, done (), none [u8; 0], pf);

/// Reads all slots of a component back and checks what is in them.
///
/// `INVALID_FIELD` if there is no such component.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TestFlash {
    /// [`FirmwareComponent`](crate::firmware::FirmwareComponent).
    pub component: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(TestFlash: 4 { component @ 0 });
command!(TestFlash = TEST_FLASH, done FlashVerdict, none [u8; 0], pf);
