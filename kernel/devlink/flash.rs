// SPDX-License-Identifier: GPL-2.0

//! Images that users want written to a device, and how far that is.

use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// A request to write an image, which is being carried out.
///
/// # Invariants
///
/// Both pointers are valid for `'a`, as is what the parameters point to.
pub struct Flash<'a> {
    devlink: *mut bindings::devlink,
    params: *const bindings::devlink_flash_update_params,
    _borrowed: PhantomData<&'a ()>,
}

impl Flash<'_> {
    /// # Safety
    ///
    /// devlink carries out a request of the instance with these parameters for the lifetime of what is returned.
    pub(super) unsafe fn from_raw(
        devlink: *mut bindings::devlink,
        params: *const bindings::devlink_flash_update_params,
    ) -> Self {
        // INVARIANT: by the requirements of this function.
        Self {
            devlink,
            params,
            _borrowed: PhantomData,
        }
    }

    /// Returns what the file holds.
    pub fn image(&self) -> &[u8] {
        // CAST: both sets of bindings describe the same type.
        //
        // SAFETY: by the invariants of this type; devlink has read the file, and nobody writes what it read.
        unsafe {
            let firmware = &*(*self.params).fw.cast::<kernel::bindings::firmware>();
            core::slice::from_raw_parts(firmware.data, firmware.size)
        }
    }

    /// Returns the name of the component that the user chose, if any: one that [`Info`](super::Info) told of.
    pub fn component(&self) -> Option<&CStr> {
        // SAFETY: by the invariants of this type.
        let name = unsafe { (*self.params).component };
        // SAFETY: as above; it is null or ends with a zero.
        (!name.is_null()).then(|| unsafe { CStr::from_char_ptr(name) })
    }

    fn overwrites(&self, bit: c_uint) -> bool {
        // SAFETY: by the invariants of this type.
        unsafe { (*self.params).overwrite_mask & 1 << bit != 0 }
    }

    /// Returns whether the image's settings are to take the place of the device's.
    pub fn overwrites_settings(&self) -> bool {
        self.overwrites(bindings::devlink_flash_overwrite_DEVLINK_FLASH_OVERWRITE_SETTINGS_BIT)
    }

    /// Returns whether the image's identifiers are to take the place of the device's.
    pub fn overwrites_identifiers(&self) -> bool {
        self.overwrites(bindings::devlink_flash_overwrite_DEVLINK_FLASH_OVERWRITE_IDENTIFIERS_BIT)
    }

    /// Tells the user what is being done, to which component, and how far it is: `done` of `total`.
    pub fn progress(&self, what: &CStr, component: &CStr, done: usize, total: usize) {
        // SAFETY: by the invariants of this type, and the instance is registered, as a user asked it; the texts are copied.
        unsafe {
            bindings::devlink_flash_update_status_notify(
                self.devlink,
                what.as_char_ptr(),
                component.as_char_ptr(),
                done as c_ulong,
                total as c_ulong,
            )
        };
    }
}

#[kunit_tests(ferrite_devlink_flash)]
mod tests {
    use super::*;
    use crate::{
        devlink::{
            ops::Table,
            ExtAck,
            Instance,
            Locked,
            Ops,
            Outcome, //
        },
        testing::TestDevice, //
    };
    use kernel::{
        new_mutex,
        sync::{
            Arc,
            Mutex, //
        }, //
    };

    const NO_EXTACK: *mut bindings::netlink_ext_ack = core::ptr::null_mut();
    const ACTIVATE: bindings::devlink_reload_action =
        bindings::devlink_reload_action_DEVLINK_RELOAD_ACTION_FW_ACTIVATE;

    /// Keeps what is written to it.
    #[pin_data]
    struct Card {
        #[pin]
        stored: Mutex<KVec<u8>>,
        #[pin]
        running: Mutex<KVec<u8>>,
    }

    #[vtable]
    impl Ops for Card {
        fn flash(
            &self,
            flash: &Flash<'_>,
            _locked: &Locked<'_>,
            extack: &mut ExtAck<'_>,
        ) -> Result {
            if flash.component() != Some(c"fw") || !flash.overwrites_settings() {
                extack.set(fmt!("all of it, please"));
                return Err(EINVAL);
            }
            let total = flash.image().len();
            flash.progress(c"writing", c"fw", 0, total);
            let mut stored = self.stored.lock();
            stored.clear();
            Ok(stored.extend_from_slice(flash.image(), GFP_KERNEL)?)
        }

        fn activate(&self, _locked: &Locked<'_>, _extack: &mut ExtAck<'_>) -> Result {
            let mut running = self.running.lock();
            running.clear();
            Ok(running.extend_from_slice(&self.stored.lock(), GFP_KERNEL)?)
        }

        fn test_flash(&self, _locked: &Locked<'_>, _extack: &mut ExtAck<'_>) -> Outcome {
            if self.stored.lock().is_empty() {
                Outcome::Failed
            } else {
                Outcome::Passed
            }
        }
    }

    struct Plain;

    #[vtable]
    impl Ops for Plain {}

    fn card() -> Result<(TestDevice, Instance<Card>)> {
        let device = TestDevice::new(c"ferrite-flash")?;
        let card = Arc::pin_init(
            try_pin_init!(Card {
                stored <- new_mutex!(KVec::new()),
                running <- new_mutex!(KVec::new()),
            }? Error),
            GFP_KERNEL,
        )?;
        let instance = Instance::new(device.device(), card)?;
        Ok((device, instance))
    }

    #[test]
    fn an_image_runs_after_its_activation() -> Result {
        let (_device, instance) = card()?;
        let visible = instance.register()?;
        let ops = Table::<Card>::OPS_REF;
        let image = [1, 2, 3];
        let mut firmware: kernel::bindings::firmware = pin_init::zeroed();
        firmware.size = image.len();
        firmware.data = image.as_ptr();
        let mut params: bindings::devlink_flash_update_params = pin_init::zeroed();
        params.fw = (&raw const firmware).cast();
        let locked = instance.lock();
        let devlink = locked.memory().as_raw();
        let flash = ops.flash_update.ok_or(EINVAL)?;
        // SAFETY: as devlink does it, with the lock held; all that the parameters point to lives until the end.
        unsafe {
            assert_eq!(flash(devlink, &mut params, NO_EXTACK), EINVAL.to_errno());
            params.component = c"fw".as_char_ptr();
            params.overwrite_mask = 1;
            assert_eq!(flash(devlink, &mut params, NO_EXTACK), 0);
            assert_eq!(instance.running.lock().len(), 0);
            let (down, up) = (ops.reload_down.ok_or(EINVAL)?, ops.reload_up.ok_or(EINVAL)?);
            let mut performed = 0;
            assert_eq!(down(devlink, false, ACTIVATE, 0, NO_EXTACK), 0);
            assert_eq!(up(devlink, ACTIVATE, 0, &mut performed, NO_EXTACK), 0);
            assert_eq!(performed, 1 << ACTIVATE);
        }
        assert_eq!(instance.running.lock()[..], image);
        drop(locked);
        drop(visible);
        Ok(())
    }

    #[test]
    fn what_keeps_firmware_can_be_tested() -> Result {
        let (_device, instance) = card()?;
        let visible = instance.register()?;
        let ops = Table::<Card>::OPS_REF;
        let (check, run) = (
            ops.selftest_check.ok_or(EINVAL)?,
            ops.selftest_run.ok_or(EINVAL)?,
        );
        let locked = instance.lock();
        let devlink = locked.memory().as_raw();
        let id = bindings::devlink_attr_selftest_id_DEVLINK_ATTR_SELFTEST_ID_FLASH;
        // SAFETY: as devlink does it, with the lock held.
        unsafe {
            assert!(check(devlink, id, NO_EXTACK));
            assert!(!check(devlink, id + 1, NO_EXTACK));
            assert_eq!(
                run(devlink, id, NO_EXTACK),
                bindings::devlink_selftest_status_DEVLINK_SELFTEST_STATUS_FAIL
            );
        }
        drop(locked);
        drop(visible);
        Ok(())
    }

    #[test]
    fn who_keeps_no_firmware_offers_nothing() {
        let ops = Table::<Plain>::OPS_REF;
        assert!(ops.flash_update.is_none() && ops.selftest_run.is_none());
        assert!(ops.reload_up.is_none() && ops.reload_actions == 0);
    }
}
