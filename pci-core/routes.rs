// SPDX-License-Identifier: GPL-2.0

//! Which clients an event is for: the functions that are handed out, by id.

use ferrite_abi::{
    event::Event,
    ids::FunctionId, //
};
use ferrite_aux::Owner;
use kernel::{
    prelude::*,
    sync::Arc,
    xarray::{
        AllocKind,
        XArray, //
    }, //
};

/// The functions on a PCI function that clients were handed.
#[pin_data]
pub(crate) struct Routes {
    #[pin]
    owners: XArray<Arc<Owner>>,
}

impl Routes {
    /// Returns an empty set.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self { owners <- XArray::new(AllocKind::Alloc) }),
            GFP_KERNEL,
        )
    }

    /// Returns a function.
    pub(crate) fn get(&self, id: FunctionId) -> Option<Arc<Owner>> {
        self.owners.lock().get(id.0.into()).map(Arc::from)
    }

    /// Passes an event on to the clients of the function that it is about. May sleep.
    pub(crate) fn deliver(&self, event: &Event) {
        if let Some(owner) = self.get(FunctionId(event.function.get())) {
            owner.deliver(event);
        }
    }

    /// Adds a function, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn add(self: &Arc<Self>, owner: Owner) -> Result<Handed> {
        let owner = Arc::new(owner, GFP_KERNEL)?;
        let index = owner.id().0.into();
        self.owners.lock().store(index, owner.clone(), GFP_KERNEL)?;
        Ok(Handed {
            owner,
            routes: self.clone(),
        })
    }
}

/// A function that can be handed to clients. When this is dropped, their handles are dead.
pub(crate) struct Handed {
    owner: Arc<Owner>,
    routes: Arc<Routes>,
}

impl Handed {
    /// Returns the function as its owner has it.
    pub(crate) fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        let removed = self.routes.owners.lock().remove(self.owner.id().0.into());
        self.owner.close();
        drop(removed);
    }
}
