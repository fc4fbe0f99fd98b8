// SPDX-License-Identifier: GPL-2.0

//! Auxiliary devices that belong to whoever made them, and may show a number in sysfs.
//!
//! Their drivers are those of [`kernel::auxiliary`], and read what a device carries with
//! [`registration_data`](auxiliary::Device::registration_data). Any bound device can be the parent,
//! an auxiliary device among them.
//!
//! C header: [`include/linux/auxiliary_bus.h`](srctree/include/linux/auxiliary_bus.h)

use core::{
    any::TypeId,
    marker::PhantomData,
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    auxiliary, bindings,
    device::{
        self,
        Bound, //
    },
    devres::Devres,
    error::to_result,
    prelude::*,
    types::{
        ForLt,
        Opaque, //
    },
};

/// A number that a device shows in a file of its directory in sysfs, from before user space hears of
/// the device.
pub trait Attribute {
    /// Name of the file.
    const NAME: &'static CStr;
}

/// What an auxiliary device carries, as [`auxiliary::Device::registration_data`] reads it: of this
/// layout is what `registration_data_rust` points to.
#[repr(C)]
struct Carried<T> {
    type_id: TypeId,
    data: T,
}

/// Anything that can be kept.
trait Keep: Send + Sync {}
impl<T: Send + Sync> Keep for T {}

/// The memory of a device.
#[repr(C)]
struct Memory {
    adev: Opaque<bindings::auxiliary_device>,
    number: u32,
}

/// The C tables of an attribute that is called `A::NAME`, for devices that are in a [`Memory`].
struct Table<A: Attribute>(PhantomData<A>);

impl<A: Attribute> Table<A> {
    const ATTRIBUTE: bindings::device_attribute = bindings::device_attribute {
        attr: bindings::attribute {
            name: A::NAME.as_ptr().cast(),
            mode: 0o444,
            ..pin_init::zeroed()
        },
        __bindgen_anon_1: bindings::device_attribute__bindgen_ty_1 {
            show: Some(Self::show),
        },
        ..pin_init::zeroed()
    };
    const ATTRIBUTE_REF: &'static bindings::device_attribute = &Self::ATTRIBUTE;
    const LIST: [*const bindings::attribute; 2] =
        [&raw const Self::ATTRIBUTE_REF.attr, core::ptr::null()];
    const LIST_REF: &'static [*const bindings::attribute; 2] = &Self::LIST;
    const GROUP: bindings::attribute_group = bindings::attribute_group {
        __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
            attrs_const: Self::LIST_REF.as_ptr(),
        },
        ..pin_init::zeroed()
    };
    const GROUP_REF: &'static bindings::attribute_group = &Self::GROUP;
    const GROUPS: [*const bindings::attribute_group; 2] =
        [core::ptr::from_ref(Self::GROUP_REF), core::ptr::null()];
    const GROUPS_REF: &'static [*const bindings::attribute_group; 2] = &Self::GROUPS;

    /// # Safety
    ///
    /// `device` is one in a [`Memory`], and `buffer` has the size of a page.
    unsafe extern "C" fn show(
        device: *mut bindings::device,
        _attribute: *mut bindings::device_attribute,
        buffer: *mut c_char,
    ) -> isize {
        // SAFETY: by the requirements of this function.
        let number = unsafe { (*memory(device)).number };
        // SAFETY: by the requirements of this function; the format takes an `unsigned int`.
        let len = unsafe { bindings::sysfs_emit(buffer, c"%u\n".as_char_ptr(), number) };
        // CAST: it is the length of some digits.
        len as isize
    }
}

/// Returns the memory that a device is in.
fn memory(device: *mut bindings::device) -> *mut Memory {
    const OFFSET: usize = offset_of!(Memory, adev) + offset_of!(bindings::auxiliary_device, dev);
    device.wrapping_byte_sub(OFFSET).cast()
}

/// # Safety
///
/// `device` is one in a [`Memory`] from a [`KBox`], and nobody uses it any more.
unsafe extern "C" fn release(device: *mut bindings::device) {
    // SAFETY: by the requirements of this function.
    drop(unsafe { KBox::from_raw(memory(device)) });
}

/// # Invariants
///
/// `adev` is a registered device in a [`Memory`]; `data` is what it carries.
struct Added {
    adev: NonNull<bindings::auxiliary_device>,
    // Dropped last, when there is no driver that reads it.
    _data: KBox<dyn Keep>,
}

// SAFETY: a `struct auxiliary_device` does not belong to a thread, nor does what it carries.
unsafe impl Send for Added {}

// SAFETY: nothing can be done with a shared reference.
unsafe impl Sync for Added {}

impl Drop for Added {
    fn drop(&mut self) {
        let adev = self.adev.as_ptr();
        // SAFETY: by the invariants of this type; the reference that is put is the one from
        // initialization.
        unsafe {
            bindings::device_del(&raw mut (*adev).dev);
            bindings::put_device(&raw mut (*adev).dev);
        }
    }
}

/// An auxiliary device is there for as long as this lives and its parent is bound.
///
/// Dropping it unbinds the driver of the device first.
pub struct Registration {
    _added: Devres<Added>,
}

impl Registration {
    /// Makes the auxiliary device `<module>.<name>.<id>`, which carries `data`. Its driver, if there
    /// is one, is probed before this returns.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EEXIST` if there is such a device.
    pub fn new<F: ForLt + 'static>(
        parent: &device::Device<Bound>,
        module: &'static CStr,
        name: &'static CStr,
        id: u32,
        data: F::Of<'static>,
    ) -> Result<Self>
    where
        F::Of<'static>: Send + Sync,
    {
        Self::add::<F>(parent, module, name, id, data, 0, None)
    }

    /// As [`Registration::new`], for a device that shows `number` in the file [`Attribute::NAME`].
    ///
    /// # Errors
    ///
    /// Those of [`Registration::new`].
    pub fn with_number<F: ForLt + 'static, A: Attribute + 'static>(
        parent: &device::Device<Bound>,
        module: &'static CStr,
        name: &'static CStr,
        id: u32,
        data: F::Of<'static>,
        number: u32,
    ) -> Result<Self>
    where
        F::Of<'static>: Send + Sync,
    {
        let groups = Table::<A>::GROUPS_REF;
        Self::add::<F>(parent, module, name, id, data, number, Some(groups))
    }

    fn add<F: ForLt + 'static>(
        parent: &device::Device<Bound>,
        module: &'static CStr,
        name: &'static CStr,
        id: u32,
        data: F::Of<'static>,
        number: u32,
        groups: Option<&'static [*const bindings::attribute_group; 2]>,
    ) -> Result<Self>
    where
        F::Of<'static>: Send + Sync,
    {
        let type_id = TypeId::of::<F>();
        let carried = KBox::new(Carried { type_id, data }, GFP_KERNEL)?;
        let memory = KBox::new(
            Memory {
                adev: Opaque::new(pin_init::zeroed()),
                number,
            },
            GFP_KERNEL,
        )?;
        let adev = memory.adev.get();
        // SAFETY: nobody else knows of the device yet. The strings and tables live for ever, and what
        // it carries until the device is gone.
        unsafe {
            // CAST: `Device` is a transparent wrapper of `struct device`.
            (*adev).dev.parent = core::ptr::from_ref(parent).cast_mut().cast();
            (*adev).dev.release = Some(release);
            (*adev).dev.groups =
                groups.map_or(core::ptr::null_mut(), |groups| groups.as_ptr().cast_mut());
            (*adev).name = name.as_char_ptr();
            (*adev).id = id;
            (*adev).registration_data_rust = core::ptr::from_ref(&*carried).cast_mut().cast();
        }
        // SAFETY: the device is zeroed but for what was just set, parent and name among it.
        to_result(unsafe { bindings::auxiliary_device_init(adev) })?;
        // From here on `release` frees the memory.
        let _ = KBox::into_raw(memory);
        // SAFETY: the device was initialized.
        let added =
            to_result(unsafe { bindings::__auxiliary_device_add(adev, module.as_char_ptr()) });
        if let Err(error) = added {
            // SAFETY: the reference from initialization is the last one.
            unsafe { bindings::put_device(&raw mut (*adev).dev) };
            return Err(error);
        }
        // INVARIANT: it was just added.
        let added = Added {
            // SAFETY: it is not null.
            adev: unsafe { NonNull::new_unchecked(adev) },
            _data: carried,
        };
        Ok(Self {
            _added: Devres::new(parent, Ok::<_, Error>(added))?,
        })
    }
}

#[kunit_tests(ferrite_auxiliary)]
mod tests {
    use super::*;
    use crate::testing::TestDevice;
    use kernel::sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    };

    struct Payload(Arc<Atomic<u32>>);
    type PayloadLt = ForLt!(Payload);
    type OtherLt = ForLt!(u32);

    impl Drop for Payload {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    struct SfNum;

    impl Attribute for SfNum {
        const NAME: &'static CStr = c"sfnum";
    }

    const MODULE: &CStr = c"ferrite_test";

    fn drops() -> Result<Arc<Atomic<u32>>> {
        Ok(Arc::new(Atomic::new(0), GFP_KERNEL)?)
    }

    fn raw(parent: &TestDevice, registration: &Registration) -> Result<*mut bindings::device> {
        let added = registration._added.access(parent.device())?;
        // SAFETY: by the invariants of `Added`.
        Ok(unsafe { &raw mut (*added.adev.as_ptr()).dev })
    }

    #[test]
    fn device_carries_what_it_was_given() -> Result {
        let (parent, drops) = (TestDevice::new(c"ferrite-aux")?, drops()?);
        let payload = Payload(drops.clone());
        let registration =
            Registration::new::<PayloadLt>(parent.device(), MODULE, c"thing", 3, payload)?;
        let device = raw(&parent, &registration)?;
        // SAFETY: a driver's probe would be passed this device.
        let adev = unsafe { &*device.cast::<auxiliary::Device<Bound>>() };
        assert_eq!(adev.id(), 3);
        let carried = adev.registration_data::<PayloadLt>()?;
        assert!(Arc::ptr_eq(&carried.get_ref().0, &drops));
        assert!(adev.registration_data::<OtherLt>().is_err());
        assert_eq!(drops.load(Relaxed), 0);
        drop(registration);
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn number_is_shown() -> Result {
        let (parent, drops) = (TestDevice::new(c"ferrite-aux")?, drops()?);
        let registration = Registration::with_number::<PayloadLt, SfNum>(
            parent.device(),
            MODULE,
            c"thing",
            5,
            Payload(drops),
            88,
        )?;
        let device = raw(&parent, &registration)?;
        let mut page = KVec::from_elem(0u8, kernel::page::PAGE_SIZE, GFP_KERNEL)?;
        let buffer = page.as_mut_ptr().cast();
        // SAFETY: an allocation of the size of a page is one, and the device is one in a `Memory`.
        let len = unsafe { Table::<SfNum>::show(device, core::ptr::null_mut(), buffer) };
        assert_eq!((len, &page[..3]), (3, &b"88\n"[..]));
        // SAFETY: the device is registered.
        let shown = unsafe { *(*device).groups == core::ptr::from_ref(Table::<SfNum>::GROUP_REF) };
        assert!(shown);
        Ok(())
    }

    #[test]
    fn unbinding_the_parent_removes_the_device() -> Result {
        let (parent, drops) = (TestDevice::new(c"ferrite-aux")?, drops()?);
        let payload = Payload(drops.clone());
        let registration =
            Registration::new::<PayloadLt>(parent.device(), MODULE, c"thing", 6, payload)?;
        drop(parent);
        assert_eq!(drops.load(Relaxed), 1);
        drop(registration);
        Ok(())
    }

    #[test]
    fn device_can_have_children() -> Result {
        let (parent, drops) = (TestDevice::new(c"ferrite-aux")?, drops()?);
        let payload = || Payload(drops.clone());
        let outer =
            Registration::new::<PayloadLt>(parent.device(), MODULE, c"outer", 7, payload())?;
        // SAFETY: the device is there until `outer` is dropped; nothing asks for its driver.
        let device = unsafe { &*raw(&parent, &outer)?.cast::<device::Device<Bound>>() };
        let inner = Registration::new::<PayloadLt>(device, MODULE, c"inner", 7, payload())?;
        drop(inner);
        drop(outer);
        assert_eq!(drops.load(Relaxed), 2);
        Ok(())
    }
}
