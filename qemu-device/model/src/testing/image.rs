// SPDX-License-Identifier: GPL-2.0

//! Firmware images.

use ferrite_abi::firmware::{
    FirmwareComponent,
    ImageHeader,
    IMAGE_MAGIC,
    IMAGE_VERSION, //
};
use ferrite_abi::wire::{
    IntoBytes,
    U16,
    U32, //
};

use crate::config::ASIC;
use crate::firmware::crc32;
use crate::text::padded;

/// Makes an image with this payload, checksums and all.
pub fn image(component: FirmwareComponent, version: u32, payload: &[u8]) -> Vec<u8> {
    let mut header = ImageHeader {
        magic: IMAGE_MAGIC,
        header_version: U16::new(IMAGE_VERSION),
        component: U16::new(component.0),
        version: U32::new(version),
        asic: padded(ASIC),
        psid: padded("TEST-PSID"),
        board: padded("test-board"),
        // CAST: tests use small ones.
        length: U32::new(payload.len() as u32),
        checksum: U32::new(crc32(0, payload)),
        rsvd: [0; 20],
        header_checksum: U32::new(0),
    };
    let bytes = header.as_bytes();
    header.header_checksum = U32::new(crc32(0, &bytes[..bytes.len() - size_of::<u32>()]));
    [header.as_bytes(), payload].concat()
}
