// SPDX-License-Identifier: GPL-2.0

//! Regions of an instance: memory of the device that users can read, and snapshots of it.

use super::{
    lock::Memory,
    ExtAck,
    Keep,
    Locked, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_err_ptr,
        from_result,
        to_result, //
    },
    prelude::*,
    sync::Arc, //
};

/// What a driver does for a region.
pub trait Region: Send + Sync + 'static {
    /// What users call the region.
    const NAME: &'static CStr;
    /// How many snapshots there may be at once.
    const SNAPSHOTS: u32;
    /// How large the region is, in bytes.
    const SIZE: usize;

    /// Fills `data` with what is at `offset` now. What is asked for is within the region.
    ///
    /// Called in process context. The lock of the instance is held when a user asks, and need not be when the driver takes
    /// a snapshot.
    fn read(&self, offset: usize, data: &mut [u8]) -> Result;
}

/// An instance has this region for as long as this lives.
///
/// # Invariants
///
/// `region` was made with `table`, whose private pointer is to the `T` in `data`, of the type that its entries are for.
pub struct RegionRegistration {
    region: NonNull<bindings::devlink_region>,
    memory: Arc<Memory>,
    read: fn(&Self) -> Result<KVec<u8>>,
    table: KBox<bindings::devlink_region_ops>,
    _data: Arc<dyn Keep>,
}

// SAFETY: a region does not belong to a thread, and what it is read by is `Send` and `Sync`.
unsafe impl Send for RegionRegistration {}

// SAFETY: the functions on a region that are used here lock it or the instance.
unsafe impl Sync for RegionRegistration {}

impl Locked<'_> {
    /// Adds a region to the instance.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it has one of this name, `ENOMEM`.
    pub fn add_region<T: Region>(&self, data: Arc<T>) -> Result<RegionRegistration> {
        let table = KBox::new(
            bindings::devlink_region_ops {
                name: T::NAME.as_char_ptr(),
                destructor: Some(free),
                snapshot: Some(Table::<T>::snapshot),
                read: Some(Table::<T>::read),
                priv_: Arc::as_ptr(&data).cast_mut().cast(),
            },
            GFP_KERNEL,
        )?;
        // SAFETY: the lock is held; the table is where it is until the drop of `RegionRegistration` has removed the region, and
        // its entries are for the `T` that its private pointer is to, which lives for so long.
        let region = from_err_ptr(unsafe {
            bindings::devl_region_create(self.as_raw(), &*table, T::SNAPSHOTS, T::SIZE as u64)
        })?;
        // INVARIANT: it was just made so.
        Ok(RegionRegistration {
            region: NonNull::new(region).ok_or(ENOMEM)?,
            memory: self.keep(),
            read: |this| {
                // SAFETY: by the invariants of the type this is a `T`, as `data` is one here.
                let data = unsafe { &*this.table.priv_.cast::<T>() };
                whole(data)
            },
            table,
            _data: data,
        })
    }

    /// Takes snapshots of regions of this instance, all under one id, which is returned.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if a region has as many snapshots as it may have; what reading a region fails with; `ENOMEM`.
    pub fn snapshot<'a>(
        &self,
        regions: impl IntoIterator<Item = &'a RegionRegistration>,
    ) -> Result<u32> {
        let mut id = 0;
        // SAFETY: the instance is valid.
        to_result(unsafe { bindings::devlink_region_snapshot_id_get(self.as_raw(), &mut id) })?;
        let taken = regions.into_iter().try_for_each(|region| {
            if !self.is_of(&region.memory) {
                return Err(EINVAL);
            }
            let data = ManuallyDrop::new((region.read)(region)?);
            // SAFETY: the region is valid by the invariants of its type, and of this instance. It takes the data, which
            // `free` frees, if it succeeds.
            let taken = to_result(unsafe {
                bindings::devlink_region_snapshot_create(
                    region.region.as_ptr(),
                    data.as_ptr().cast_mut(),
                    id,
                )
            });
            if taken.is_err() {
                drop(ManuallyDrop::into_inner(data));
            }
            taken
        });
        // SAFETY: the instance is valid, and the id was got above.
        unsafe { bindings::devlink_region_snapshot_id_put(self.as_raw(), id) };
        taken.map(|()| id)
    }
}

impl Drop for RegionRegistration {
    fn drop(&mut self) {
        let _locked = self.memory.lock();
        // SAFETY: by the invariants of this type; the lock is held, so that nobody reads.
        unsafe { bindings::devl_region_destroy(self.region.as_ptr()) };
    }
}

/// Reads all of a region, into memory that [`free`] can free.
fn whole<T: Region>(data: &T) -> Result<KVec<u8>> {
    let mut bytes = KVec::from_elem(0, T::SIZE, GFP_KERNEL)?;
    data.read(0, &mut bytes)?;
    Ok(bytes)
}

/// # Safety
///
/// `data` is what [`KVec::as_ptr`] was of a vector that nobody frees, of bytes.
unsafe extern "C" fn free(data: *const c_void) {
    // SAFETY: by the requirements of this function; a `KVec` has its memory from kmalloc.
    unsafe { kernel::bindings::kfree(data) };
}

/// The entries of the C table of a region that a `T` reads.
///
/// All functions here are called by devlink only, with the lock held, for a region whose table has a private pointer to a
/// `T`, which lives until the region is removed. Other arguments are valid until the functions return, but that `extack` may be
/// null.
struct Table<T>(PhantomData<T>);

#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `Table`"
)]
impl<T: Region> Table<T> {
    unsafe extern "C" fn snapshot(
        _devlink: *mut bindings::devlink,
        ops: *const bindings::devlink_region_ops,
        extack: *mut bindings::netlink_ext_ack,
        data: *mut *mut u8,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let (region, mut extack) =
            unsafe { (&*(*ops).priv_.cast::<T>(), ExtAck::from_raw(extack)) };
        from_result(|| {
            let bytes =
                whole(region).inspect_err(|_| extack.set(fmt!("the device cannot be read now")))?;
            let bytes = ManuallyDrop::new(bytes);
            // SAFETY: as all arguments here are. devlink frees it by `free`.
            unsafe { data.write(bytes.as_ptr().cast_mut()) };
            Ok(0)
        })
    }

    unsafe extern "C" fn read(
        _devlink: *mut bindings::devlink,
        ops: *const bindings::devlink_region_ops,
        extack: *mut bindings::netlink_ext_ack,
        offset: u64,
        size: u32,
        data: *mut u8,
    ) -> c_int {
        // SAFETY: as all arguments here are; there is room for `size` bytes, which devlink does not read before.
        let (region, mut extack, data) = unsafe {
            data.write_bytes(0, size as usize);
            (
                &*(*ops).priv_.cast::<T>(),
                ExtAck::from_raw(extack),
                core::slice::from_raw_parts_mut(data, size as usize),
            )
        };
        from_result(|| {
            let offset = usize::try_from(offset)?;
            if offset
                .checked_add(data.len())
                .is_none_or(|end| end > T::SIZE)
            {
                return Err(EINVAL);
            }
            region
                .read(offset, data)
                .inspect_err(|_| extack.set(fmt!("the device cannot be read now")))?;
            Ok(0)
        })
    }
}

#[kunit_tests(ferrite_devlink_region)]
mod tests {
    use super::*;
    use crate::{
        devlink::{
            Instance,
            Ops, //
        },
        testing::TestDevice, //
    };

    struct Card;

    #[vtable]
    impl Ops for Card {}

    /// Each byte is its offset.
    struct Ruler;

    impl Region for Ruler {
        const NAME: &'static CStr = c"ruler";
        const SNAPSHOTS: u32 = 2;
        const SIZE: usize = 64;

        fn read(&self, offset: usize, data: &mut [u8]) -> Result {
            for (at, byte) in data.iter_mut().enumerate() {
                *byte = u8::try_from(offset + at)?;
            }
            Ok(())
        }
    }

    fn instance(device: &TestDevice) -> Result<Instance<Card>> {
        Instance::new(device.device(), Arc::new(Card, GFP_KERNEL)?)
    }

    #[test]
    fn snapshots_are_taken_until_there_is_no_room() -> Result {
        let device = TestDevice::new(c"ferrite-region")?;
        let instance = instance(&device)?;
        let locked = instance.lock();
        let region = locked.add_region(Arc::new(Ruler, GFP_KERNEL)?)?;
        let first = locked.snapshot([&region])?;
        assert_ne!(locked.snapshot([&region])?, first);
        assert_eq!(locked.snapshot([&region]).err(), Some(ENOSPC));
        Ok(())
    }

    #[test]
    fn a_name_is_taken_for_as_long_as_its_region_lives() -> Result {
        let device = TestDevice::new(c"ferrite-region")?;
        let instance = instance(&device)?;
        let locked = instance.lock();
        let region = locked.add_region(Arc::new(Ruler, GFP_KERNEL)?)?;
        let again = locked.add_region(Arc::new(Ruler, GFP_KERNEL)?);
        assert_eq!(again.err(), Some(EEXIST));
        drop(region);
        locked.add_region(Arc::new(Ruler, GFP_KERNEL)?)?;
        Ok(())
    }

    #[test]
    fn parts_are_read_within_the_region_only() -> Result {
        let device = TestDevice::new(c"ferrite-region")?;
        let instance = instance(&device)?;
        let locked = instance.lock();
        let region = locked.add_region(Arc::new(Ruler, GFP_KERNEL)?)?;
        let mut bytes = [0u8; 4];
        let mut read = |offset| {
            // SAFETY: the lock is held, and the table is of a `Ruler`; there is room for four bytes.
            unsafe {
                Table::<Ruler>::read(
                    locked.as_raw(),
                    &*region.table,
                    core::ptr::null_mut(),
                    offset,
                    4,
                    bytes.as_mut_ptr(),
                )
            }
        };
        assert_eq!(read(61), EINVAL.to_errno());
        assert_eq!(read(60), 0);
        assert_eq!(bytes, [60, 61, 62, 63]);
        Ok(())
    }
}
