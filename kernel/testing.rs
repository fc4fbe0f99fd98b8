// SPDX-License-Identifier: GPL-2.0

//! What the KUnit suites of this crate need: a device that is bound and can do DMA.

use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    faux,
    prelude::*, //
};

/// A faux device, bound to the faux driver until it is dropped.
pub(crate) struct TestDevice(faux::Registration);

impl TestDevice {
    /// Makes a device named `name`.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        let this = Self(faux::Registration::new(name, None)?);
        let device: *mut bindings::device = core::ptr::from_ref(this.0.as_ref()).cast_mut().cast();
        // SAFETY: the device is valid, `Device` is a transparent wrapper of `struct device`, and
        // nobody else uses the device yet.
        unsafe {
            (*device).coherent_dma_mask = u64::from(u32::MAX);
            (*device).dma_mask = &raw mut (*device).coherent_dma_mask;
        }
        Ok(this)
    }

    /// Returns the device.
    pub(crate) fn device(&self) -> &Device<Bound> {
        let device: &Device = self.0.as_ref();
        // SAFETY: the faux bus binds a device before `faux::Registration::new` returns, and unbinds
        // it when the registration is dropped.
        unsafe { device.as_bound() }
    }
}
