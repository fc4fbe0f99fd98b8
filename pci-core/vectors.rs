// SPDX-License-Identifier: GPL-2.0

//! MSI-X vectors of VFs, which the PF deals out.

use ferrite_abi::{
    cmd::{
        ConfigureFunction,
        FunctionFields,
        Identity,
        QueryFunctionConfig, //
    },
    ids::{
        FunctionId,
        MAX_VFS, //
    },
    wire::U16, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};
use kernel_ext::devlink::not_supported;

use crate::board::Board;

/// What there is to deal out.
#[pin_data]
pub(crate) struct VfVectors {
    total: u32,
    /// How many each VF came with, where that is known: none for 0. Held for moments only.
    #[pin]
    came_with: Mutex<[u16; MAX_VFS as usize]>,
}

impl VfVectors {
    /// Notes what the device has.
    pub(crate) fn new(identity: &Identity) -> impl PinInit<Self> {
        let total = identity.total_vf_vectors.get();
        pin_init!(Self {
            total,
            came_with <- new_mutex!([0; MAX_VFS as usize], "ferrite_vf_vectors"),
        })
    }

    /// Returns how many there are for all VFs together.
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// Gives a VF that no driver has as many vectors, or with 0 as many as it came with.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the device cannot do that, or what the answer of the device means.
    pub(crate) fn deal(&self, board: &Board, vf: u16, vectors: u16) -> Result {
        if self.total == 0 {
            return Err(not_supported());
        }
        let id = FunctionId::vf(vf).ok_or(EINVAL)?;
        let now = board.admin.send(id, QueryFunctionConfig {})?.vectors.get();
        let vectors = {
            let mut came_with = self.came_with.lock();
            let own = came_with.get_mut(usize::from(vf)).ok_or(EINVAL)?;
            if *own == 0 {
                *own = now;
            }
            if vectors == 0 {
                *own
            } else {
                vectors
            }
        };
        let command = ConfigureFunction {
            mask: U16::new(FunctionFields::VECTORS.0),
            vectors: U16::new(vectors),
            ..ConfigureFunction::default()
        };
        Ok(board.admin.send(id, command)?)
    }
}
