// SPDX-License-Identifier: GPL-2.0

//! Resets of the VF: through VFIO, by a write to its configuration space, or by sysfs. The function works after
//! one, whatever it was in the middle of.
//!
//! Who resets a function may hold a lock that is taken inside of that of an address space, while who holds
//! `progress` touches user memory. So a reset never waits for `progress`: if somebody has it, that one sees to the
//! reset when letting go.

use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::sync::lock::{
    mutex::MutexBackend,
    Guard, //
};
use kernel_vfio::Device;

use crate::{
    migrator::Migrator,
    state::Progress, //
};

/// `progress`, held. A reset that came meanwhile is seen to when this is dropped.
pub(crate) struct Held<'a> {
    pub(crate) device: &'a Device<Migrator>,
    /// There until the drop.
    guard: Option<Guard<'a, Progress, MutexBackend>>,
}

impl<'a> Held<'a> {
    /// Waits for `progress`.
    pub(crate) fn take(device: &'a Device<Migrator>) -> Self {
        let migrator = device.data().get_ref();
        Self {
            device,
            guard: Some(migrator.progress.lock()),
        }
    }

    pub(crate) fn migrator(&self) -> &'a Migrator {
        self.device.data().get_ref()
    }
}

impl Deref for Held<'_> {
    type Target = Progress;

    fn deref(&self) -> &Progress {
        // PANIC: it is there until the drop.
        self.guard.as_deref().unwrap()
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Progress {
        // PANIC: it is there until the drop.
        self.guard.as_deref_mut().unwrap()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        loop {
            {
                let mut pending = self.migrator().pending_reset.lock();
                if !*pending {
                    // With the spin lock held: a reset that comes later finds `progress` free, one that came
                    // earlier was just looked for.
                    drop(self.guard.take());
                    return;
                }
                *pending = false;
            }
            self.start_over();
        }
    }
}

/// Sees to a reset of the VF, or leaves it to who holds `progress`.
pub(crate) fn was_reset(device: &Device<Migrator>) {
    let migrator = device.data().get_ref();
    let held = {
        let mut pending = migrator.pending_reset.lock();
        *pending = true;
        migrator.progress.try_lock().map(|guard| Held {
            device,
            guard: Some(guard),
        })
    };
    drop(held);
}
