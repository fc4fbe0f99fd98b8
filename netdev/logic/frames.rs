// SPDX-License-Identifier: GPL-2.0

//! Classes of lengths that the device counts frames in.

use ferrite_abi::{
    cmd::{
        FRAME_CHECKSUM,
        FRAME_CLASSES,
        FRAME_CLASS_ENDS,
        MIN_FRAME, //
    },
    ids::MAX_MTU, //
};

/// Length of an Ethernet header with a VLAN tag.
const HEADER: u16 = 18;

/// Shortest and longest frame of each class, with checksum.
pub const CLASSES: [(u16, u16); FRAME_CLASSES] = classes();

const fn classes() -> [(u16, u16); FRAME_CLASSES] {
    let mut classes = [(MIN_FRAME, MAX_MTU + HEADER + FRAME_CHECKSUM); FRAME_CLASSES];
    let mut index = 0;
    while index < FRAME_CLASS_ENDS.len() {
        classes[index].1 = FRAME_CLASS_ENDS[index];
        classes[index + 1].0 = FRAME_CLASS_ENDS[index] + 1;
        index += 1;
    }
    classes
}
