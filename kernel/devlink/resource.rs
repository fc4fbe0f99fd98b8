// SPDX-License-Identifier: GPL-2.0

//! Resources of an instance: how much there is of something, and how much of it is taken.

use super::{
    lock::{
        Memory,
        Operation, //
    },
    Locked, //
};
use crate::bindings;
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

/// Tells how much of a resource is taken.
pub trait Occupancy: Send + Sync + 'static {
    /// Returns how much is taken. Called with the lock of the instance held.
    fn taken(&self, locked: &Locked<'_>) -> u64;
}

/// A resource that is counted, and of a size that users cannot change.
pub struct Resource {
    /// What users call it.
    pub name: &'static CStr,
    /// How much there is.
    pub size: u64,
    /// How much of it is taken.
    pub occupancy: Arc<dyn Occupancy>,
}

struct Entry {
    resource: Resource,
    memory: Arc<Memory>,
}

/// The instance has these resources for as long as this lives.
///
/// # Invariants
///
/// They are those with the ids 1 up to the number of entries, and devlink may call [`occupancy`] with
/// the address of each.
pub struct Resources {
    memory: Arc<Memory>,
    entries: KVec<Entry>,
}

impl Locked<'_> {
    /// Adds resources to the instance, all that it has.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it has some already, `ENOMEM`.
    pub fn add_resources(&self, list: impl IntoIterator<Item = Resource>) -> Result<Resources> {
        let mut entries = KVec::new();
        for resource in list {
            let memory = self.keep();
            entries.push(Entry { resource, memory }, GFP_KERNEL)?;
        }
        if self.memory().resources.xchg(true, Relaxed) {
            return Err(EBUSY);
        }
        // INVARIANT: what is not registered in the following is not called for; entries do not move.
        let resources = Resources {
            memory: self.keep(),
            entries,
        };
        for (id, entry) in (1..).zip(&resources.entries) {
            let Resource { name, size, .. } = entry.resource;
            let params = bindings::devlink_resource_size_params {
                size_min: size,
                size_max: size,
                size_granularity: 1,
                unit: bindings::devlink_resource_unit_DEVLINK_RESOURCE_UNIT_ENTRY,
            };
            // SAFETY: the lock is held; the name lives for ever and the parameters are copied. The
            // id is none that the instance has.
            to_result(unsafe {
                bindings::devl_resource_register(
                    self.as_raw(),
                    name.as_char_ptr(),
                    size,
                    id,
                    bindings::DEVLINK_RESOURCE_ID_PARENT_TOP.into(),
                    &params,
                )
            })?;
            // SAFETY: the lock is held, and there is such a resource. The entry is where it is until
            // the drop of `Resources` has removed the resource.
            unsafe {
                bindings::devl_resource_occ_get_register(
                    self.as_raw(),
                    id,
                    Some(occupancy),
                    core::ptr::from_ref(entry).cast_mut().cast(),
                )
            };
        }
        Ok(resources)
    }
}

/// # Safety
///
/// `entry` is one of a [`Resources`], which is not dropped before the lock of its instance is taken,
/// and this thread holds it.
unsafe extern "C" fn occupancy(entry: *mut c_void) -> u64 {
    // SAFETY: by the requirements of this function.
    let entry = unsafe { &*entry.cast::<Entry>() };
    let occupancy = entry.resource.occupancy.clone();
    // SAFETY: by the requirements of this function.
    let operation = unsafe { Operation::begin(entry.memory.clone()) };
    occupancy.taken(&operation.locked())
}

#[cfg(CONFIG_KUNIT = "y")]
impl Resources {
    /// Returns what devlink is told of the resource with this index.
    pub(super) fn taken(&self, index: usize) -> Option<u64> {
        let _locked = self.memory.lock();
        let entry = self.entries.get(index)?;
        // SAFETY: the lock is held.
        Some(unsafe { occupancy(core::ptr::from_ref(entry).cast_mut().cast()) })
    }
}

impl Drop for Resources {
    fn drop(&mut self) {
        let locked = self.memory.lock();
        // SAFETY: the lock is held. This forgets what to call, too.
        unsafe { bindings::devl_resources_unregister(locked.as_raw()) };
        locked.memory().resources.store(false, Relaxed);
    }
}
