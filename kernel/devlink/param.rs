// SPDX-License-Identifier: GPL-2.0

//! Parameters of an instance that take effect with a reload.

use super::{
    lock::Memory,
    ops::{
        Ops,
        Table, //
    },
    Instance,
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

/// A parameter of type bool that devlink knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoolParam {
    /// `enable_eth`: the device has an Ethernet port.
    EnableEth,
    /// `enable_vnet`: the device has a virtio network device, for vDPA.
    EnableVnet,
}

impl BoolParam {
    const ALL: [Self; 2] = [Self::EnableEth, Self::EnableVnet];

    const fn id(self) -> u32 {
        match self {
            Self::EnableEth => {
                bindings::devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_ENABLE_ETH
            }
            Self::EnableVnet => {
                bindings::devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_ENABLE_VNET
            }
        }
    }

    const fn name(self) -> &'static CStr {
        match self {
            Self::EnableEth => c"enable_eth",
            Self::EnableVnet => c"enable_vnet",
        }
    }

    pub(super) fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|param| param.id() == id)
    }
}

/// The instance has these parameters for as long as this lives.
///
/// Users set them in `cmode driverinit`: a value counts from the next reload on, when
/// [`Ops::reload_up`] finds it with [`Locked::param`].
pub struct Params {
    memory: Arc<Memory>,
    table: KVec<bindings::devlink_param>,
}

// SAFETY: the entries are not written, and what they point to lives for ever.
unsafe impl Send for Params {}

// SAFETY: the entries are not written, and what they point to lives for ever.
unsafe impl Sync for Params {}

impl<T: Ops> Instance<T> {
    /// Adds parameters with the values that they have before any user set them. The instance must be
    /// one that can be reloaded.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it has one of them already, or one is listed twice; `ENOMEM`.
    pub fn add_params(&self, params: &[(BoolParam, bool)]) -> Result<Params> {
        const { assert!(T::HAS_RELOAD_UP, "the parameters take effect with a reload") };
        let mut table = KVec::with_capacity(params.len(), GFP_KERNEL)?;
        let mut listed = 0;
        for (param, _) in params {
            if listed & (1 << param.id()) != 0 {
                return Err(EEXIST);
            }
            listed |= 1u64 << param.id();
            table.push(
                bindings::devlink_param {
                    id: param.id(),
                    name: param.name().as_char_ptr(),
                    generic: true,
                    type_: bindings::devlink_param_type_DEVLINK_PARAM_TYPE_BOOL,
                    supported_cmodes: 1
                        << bindings::devlink_param_cmode_DEVLINK_PARAM_CMODE_DRIVERINIT,
                    validate: if T::HAS_PARAM_VALIDATE {
                        Some(Table::<T>::param_validate)
                    } else {
                        None
                    },
                    ..pin_init::zeroed()
                },
                GFP_KERNEL,
            )?;
        }
        let locked = self.lock();
        let has = locked.memory().params.load(Relaxed);
        if has & listed != 0 {
            return Err(EEXIST);
        }
        // SAFETY: the lock of the instance is held. The table is where it is until `Params` has
        // unregistered it, and holds the names and types that devlink knows; the entries for
        // validation are for the operations of a `T`, by which this instance is operated.
        to_result(unsafe {
            bindings::devl_params_register(locked.as_raw(), table.as_ptr(), table.len())
        })?;
        locked.memory().params.store(has | listed, Relaxed);
        let registered = Params {
            memory: self.memory.clone(),
            table,
        };
        for (param, value) in params {
            locked.set_param(*param, *value)?;
        }
        Ok(registered)
    }
}

impl Locked<'_> {
    /// Returns the value of a parameter that counts now.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the instance has no such parameter.
    pub fn param(&self, param: BoolParam) -> Result<bool> {
        self.check_param(param)?;
        let mut value: bindings::devlink_param_value = pin_init::zeroed();
        // SAFETY: the instance is valid and locked, and can be reloaded, as it has parameters.
        to_result(unsafe {
            bindings::devl_param_driverinit_value_get(self.as_raw(), param.id(), &mut value)
        })?;
        // SAFETY: the parameter is of type bool.
        Ok(unsafe { value.vbool })
    }

    /// Sets the value of a parameter that counts now, and its default. What a user has set since the
    /// last reload is not touched.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the instance has no such parameter.
    pub fn set_param(&self, param: BoolParam, value: bool) -> Result {
        self.check_param(param)?;
        let mut raw: bindings::devlink_param_value = pin_init::zeroed();
        raw.vbool = value;
        // SAFETY: the instance is valid and locked, and has this parameter, in that mode.
        unsafe { bindings::devl_param_driverinit_value_set(self.as_raw(), param.id(), &mut raw) };
        Ok(())
    }

    fn check_param(&self, param: BoolParam) -> Result {
        if self.memory().params.load(Relaxed) & (1 << param.id()) == 0 {
            return Err(EINVAL);
        }
        Ok(())
    }
}

impl Drop for Params {
    fn drop(&mut self) {
        let locked = self.memory.lock();
        // SAFETY: the lock is held, and `add_params` registered the table.
        unsafe {
            bindings::devl_params_unregister(locked.as_raw(), self.table.as_ptr(), self.table.len())
        };
        let listed = self.table.iter().fold(0, |all, entry| all | 1 << entry.id);
        let params = &locked.memory().params;
        params.store(params.load(Relaxed) & !listed, Relaxed);
    }
}
