// SPDX-License-Identifier: GPL-2.0

//! Regions of devlink: the registers, and the rings of the admin queue, as the device and the driver have left them.

use core::mem::size_of;

use ferrite_abi::{
    admin::{
        Completion,
        Submission, //
    },
    cmd::{
        CrashDump,
        ReadCrash, //
    },
    regs::Features,
    wire::IntoBytes, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::devlink::{
    Locked,
    Region,
    RegionRegistration, //
};

use crate::{
    adminq::{
        AdminQueue,
        SLOTS, //
    },
    bar::Bar,
    board::Board, //
};
use zerocopy::FromZeros;

/// How many snapshots of each there may be.
const SNAPSHOTS: u32 = 8;
/// How far registers of the driver reach, in bytes.
const REGISTERS: usize = 0x200;

const _: () = {
    let (all, mut index) = (ferrite_abi::regs::REGISTERS, 0);
    while index < all.len() {
        // CAST: offsets in a BAR are small.
        assert!(!all[index].is_drivers() || all[index].offset as usize + 4 <= REGISTERS);
        index += 1;
    }
};

/// The registers, little-endian.
struct Registers(Bar);

impl Region for Registers {
    const NAME: &'static CStr = c"registers";
    const SNAPSHOTS: u32 = SNAPSHOTS;
    const SIZE: usize = REGISTERS;

    fn read(&self, offset: usize, data: &mut [u8]) -> Result {
        for (at, byte) in (offset..).zip(data) {
            let word = self.0.word(u32::try_from(at & !3)?).to_le_bytes();
            *byte = word[at & 3];
        }
        Ok(())
    }
}

/// The submission ring of the admin queue, and after it the completion ring.
struct AdminRings(Arc<AdminQueue>);

const SUBMISSIONS: usize = SLOTS * size_of::<Submission>();
const COMPLETIONS: usize = SLOTS * size_of::<Completion>();

impl Region for AdminRings {
    const NAME: &'static CStr = c"admin_rings";
    const SNAPSHOTS: u32 = SNAPSHOTS;
    const SIZE: usize = SUBMISSIONS + COMPLETIONS;

    fn read(&self, offset: usize, data: &mut [u8]) -> Result {
        for (at, byte) in (offset..).zip(data) {
            *byte = self.0.ring_byte(at);
        }
        Ok(())
    }
}

/// What the firmware of a board did before it stopped last.
struct Crash(Arc<Board>);

impl Region for Crash {
    const NAME: &'static CStr = c"crash_dump";
    const SNAPSHOTS: u32 = SNAPSHOTS;
    const SIZE: usize = size_of::<CrashDump>();

    fn read(&self, offset: usize, data: &mut [u8]) -> Result {
        let mut dump = KBox::new(CrashDump::new_zeroed(), GFP_KERNEL)?;
        self.0.admin.fetch(self.0.own(), ReadCrash {}, &mut dump)?;
        let bytes = dump.as_bytes().get(offset..).unwrap_or_default();
        for (to, from) in data.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(())
    }
}

/// The regions of a function.
pub(crate) struct Regions {
    /// Those that can be read whatever state the device is in.
    always: [RegionRegistration; 2],
    _crash: Option<RegionRegistration>,
}

impl Regions {
    /// Adds them to the instance whose lock is held.
    pub(crate) fn new(bar: Bar, board: Arc<Board>, locked: &Locked<'_>) -> Result<Self> {
        let rings = AdminRings(board.admin.clone());
        let always = [
            locked.add_region(Arc::new(Registers(bar), GFP_KERNEL)?)?,
            locked.add_region(Arc::new(rings, GFP_KERNEL)?)?,
        ];
        let crash = if board.features.contains(Features::CRASH_DUMP) {
            Some(locked.add_region(Arc::new(Crash(board), GFP_KERNEL)?)?)
        } else {
            None
        };
        Ok(Self {
            always,
            _crash: crash,
        })
    }

    /// Takes snapshots of those that can always be read, under one id, which is returned.
    pub(crate) fn snapshot(&self, locked: &Locked<'_>) -> Result<u32> {
        locked.snapshot(&self.always)
    }
}
