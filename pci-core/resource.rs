// SPDX-License-Identifier: GPL-2.0

//! Resources of the PF: what users can count on, and how much of it they have taken.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::devlink::{
    Locked,
    Occupancy,
    Resource,
    Resources, //
};

use crate::functions::Functions;

/// SFs that can be added, by the name that other drivers use.
const SFS: &CStr = c"max_local_SFs";

/// How many SFs there are.
struct Sfs(Arc<Functions>);

impl Occupancy for Sfs {
    fn taken(&self, _locked: &Locked<'_>) -> u64 {
        self.0.sf_occupancy().0.into()
    }
}

/// Shows the resources of a PF, until what is returned is dropped.
pub(crate) fn show(locked: &Locked<'_>, functions: &Arc<Functions>) -> Result<Resources> {
    let (_, size) = functions.sf_occupancy();
    locked.add_resources([Resource {
        name: SFS,
        size: size.into(),
        occupancy: Arc::new(Sfs(functions.clone()), GFP_KERNEL)?,
    }])
}
