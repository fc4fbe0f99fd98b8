// SPDX-License-Identifier: GPL-2.0

//! The files that the state of a VF is read from and written to.
//!
//! A file belongs to a session and outlives it: from then on all that is done with it fails.

use ferrite_abi::{
    cmd::{
        SaveFlags,
        SavePass,
        WriteLoad,
        MAX_CHUNK, //
    },
    mig::StreamFault,
    wire::{
        U32,
        U64, //
    },
};
use kernel::{
    bindings,
    fs::File,
    prelude::*,
    sync::{
        aref::ARef,
        poll::PollTable, //
    },
    uaccess::{
        UserSliceReader,
        UserSliceWriter, //
    },
};
use kernel_ext::anon_file::{
    self,
    Operations,
    Ready, //
};
use kernel_vfio::{
    precopy_info,
    Device,
    PrecopyInfo, //
};

use crate::{
    logic::state::State,
    migrator::{
        errno,
        insist,
        Migrator, //
    },
    reset::Held,
    state::{
        explain,
        Session,
        Way, //
    },
};

/// Most that one call writes: more takes further calls, between which others have their turn.
const MAX_WRITE: usize = 1 << 20;

/// Opens the file of a session.
pub(crate) fn open(device: &Device<Migrator>, session: &Session) -> Result<ARef<File>> {
    let number = session.number;
    let device = ARef::from(device);
    match session.way {
        Way::Out(_) => {
            let file = KBox::new(SaveFile { device, number }, GFP_KERNEL)?;
            anon_file::open(c"ferrite_vfio_save", file)
        }
        Way::In(_) => {
            let file = KBox::new(LoadFile { device, number }, GFP_KERNEL)?;
            anon_file::open(c"ferrite_vfio_load", file)
        }
    }
}

/// Returned by a read while the function works and there is nothing new to save.
fn no_message() -> Error {
    // CAST: errno values are small.
    Error::from_errno(-(bindings::ENOMSG as i32))
}

/// The file that the state of a VF is read from.
struct SaveFile {
    device: ARef<Device<Migrator>>,
    /// That of the session.
    number: u64,
}

impl SaveFile {
    /// Returns what can be read. If that is nothing yet, the device says when there is something.
    fn look(&self) -> Ready {
        let mut held = Held::take(&self.device);
        let state = held.state();
        let Some((saved, _)) = held.saved(self.number) else {
            return Ready::FAILED;
        };
        if state == State::StopCopy || saved.broken || !saved.unread().is_empty() {
            return Ready::TO_READ;
        }
        match held.query_save() {
            Ok(done) if done.dirty.get() == 0 => Ready::NOT,
            // Who reads is told of a failure.
            _ => Ready::TO_READ,
        }
    }
}

#[vtable]
impl Operations for SaveFile {
    const OWNER: &'static ThisModule = &crate::THIS_MODULE;

    fn read(&self, mut buffer: UserSliceWriter) -> Result<usize> {
        let mut held = Held::take(&self.device);
        let state = held.state();
        let migrator = held.migrator();
        let (saved, chunk) = held.saved(self.number).ok_or(ENODEV)?;
        if buffer.is_empty() {
            return Ok(0);
        }
        if saved.unread().is_empty() {
            if saved.broken {
                return Err(EIO);
            }
            if state == State::StopCopy {
                return Ok(0);
            }
            let controlled = migrator.controlled()?;
            let more = saved.take(controlled, chunk, SavePass::SETUP);
            if more.map_err(errno)? == 0 {
                return Err(no_message());
            }
        }
        let len = saved.unread().len().min(buffer.len());
        buffer.write_slice(&saved.unread()[..len])?;
        saved.read(len);
        Ok(len)
    }

    fn poll(&self, file: &File, table: &PollTable<'_>) -> Ready {
        self.device.data().changed.register(file, table);
        self.look()
    }

    fn ioctl(&self, cmd: u32, arg: usize) -> Result<isize> {
        let device: &Device<Migrator> = &self.device;
        precopy_info(device, cmd, arg, || {
            let mut held = Held::take(device);
            if !held.state().is_pre_copy() {
                return Err(EINVAL);
            }
            let migrator = held.migrator();
            let done = held.query_save();
            let (saved, chunk) = held.saved(self.number).ok_or(ENODEV)?;
            if saved.broken {
                return Err(EIO);
            }
            let done = done?;
            let anew = done.flags.get() & SaveFlags::REINIT.0 != 0 && device.knows_precopy_v2();
            let mut pending = done.dirty.get();
            if anew {
                let controlled = migrator.controlled()?;
                let more = saved.take(controlled, chunk, SavePass::SETUP);
                more.map_err(errno)?;
                saved.account.begin();
                pending = 0;
            }
            let (initial, dirty) = saved.account.tell(pending.into());
            Ok(PrecopyInfo {
                initial,
                dirty,
                anew,
            })
        })
    }
}

/// The file that the state of a VF is written to.
struct LoadFile {
    device: ARef<Device<Migrator>>,
    /// That of the session.
    number: u64,
}

#[vtable]
impl Operations for LoadFile {
    const OWNER: &'static ThisModule = &crate::THIS_MODULE;

    fn write(&self, mut buffer: UserSliceReader) -> Result<usize> {
        let mut held = Held::take(&self.device);
        let migrator = held.migrator();
        let controlled = migrator.controlled()?;
        let (loaded, chunk) = held.loaded(self.number).ok_or(ENODEV)?;
        if loaded.refused {
            return Err(EINVAL);
        }
        let mut written = 0;
        while !buffer.is_empty() && written < MAX_WRITE {
            let len = buffer.len().min(MAX_CHUNK);
            buffer.read_slice(&mut chunk.bytes[..len])?;
            let piece = WriteLoad {
                offset: U64::new(loaded.taken),
                // CAST: no more than `MAX_CHUNK`.
                length: U32::new(len as u32),
                rsvd: [0; 4],
            };
            let verdict = insist(|| controlled.send_with(piece, chunk)).map_err(errno)?;
            if StreamFault(verdict.fault.get()) != StreamFault::NONE {
                loaded.refused = true;
                explain(migrator, &verdict);
                return Err(EINVAL);
            }
            loaded.taken += len as u64;
            written += len;
        }
        Ok(written)
    }

    fn poll(&self, file: &File, table: &PollTable<'_>) -> Ready {
        self.device.data().changed.register(file, table);
        let mut held = Held::take(&self.device);
        match held.loaded(self.number) {
            Some(_) => Ready::TO_WRITE,
            None => Ready::FAILED,
        }
    }
}
