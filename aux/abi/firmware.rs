// SPDX-License-Identifier: GPL-2.0

//! What a firmware image is: an [`ImageHeader`], then as many bytes of payload as it says.

use crate::wire::*;

codes! {
    /// A part of the firmware that has images and slots of its own.
    pub struct FirmwareComponent(u16) {
        /// The firmware itself.
        FIRMWARE = 0;
        /// What a machine boots from over the network.
        BOOT = 1;
    }
}

codes! {
    /// Why an image is refused.
    pub struct ImageFault(u16) {
        /// It is not.
        NONE = 0;
        /// It does not begin with [`IMAGE_MAGIC`].
        MAGIC = 1;
        /// The checksum of its header is wrong.
        HEADER = 2;
        /// Its header is of another version than [`IMAGE_VERSION`].
        VERSION = 3;
        /// It is for another ASIC.
        ASIC = 4;
        /// It is of another component than was said.
        COMPONENT = 5;
        /// It is longer or shorter than its header says.
        LENGTH = 6;
        /// The checksum of its payload is wrong.
        PAYLOAD = 7;
        /// Not all of it was written.
        INCOMPLETE = 8;
    }
}

/// What an image begins with.
pub const IMAGE_MAGIC: [u8; 8] = *b"FERRITFW";
/// Version of the header that is described here.
pub const IMAGE_VERSION: u16 = 1;
/// Largest image, in bytes.
pub const MAX_IMAGE: u32 = 0x0010_0000;

/// Begins an image. Checksums are CRC-32 as in IEEE 802.3.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ImageHeader {
    /// [`IMAGE_MAGIC`].
    pub magic: [u8; 8],
    /// [`IMAGE_VERSION`].
    pub header_version: U16,
    /// [`FirmwareComponent`].
    pub component: U16,
    /// Version of what is in the image, as in register `FirmwareVersion`.
    pub version: U32,
    /// Name of the ASIC that it is for, ASCII, padded with zeros.
    pub asic: [u8; 16],
    /// Name of its set of parameters, ASCII, padded with zeros.
    pub psid: [u8; 32],
    /// Identity that it gives a board, ASCII, padded with zeros.
    pub board: [u8; 32],
    /// Length of the payload in bytes.
    pub length: U32,
    /// Checksum of the payload.
    pub checksum: U32,
    /// Reserved.
    pub rsvd: [u8; 20],
    /// Checksum of the header up to here.
    pub header_checksum: U32,
}
layout!(ImageHeader: 128 {
    magic @ 0, header_version @ 8, component @ 10, version @ 12, asic @ 16, psid @ 32, board @ 64, length @ 96,
    checksum @ 100, rsvd @ 104, header_checksum @ 124,
});
