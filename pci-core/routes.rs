// SPDX-License-Identifier: GPL-2.0

//! Which clients an event is for: the functions that are handed out, by id.

use ferrite_abi::{
    event::{
        Event,
        Payload,
        SaveChange, //
    },
    ids::{
        FunctionId,
        MAX_VFS, //
    },
    wire::U16, //
};
use ferrite_aux::{
    Owner,
    Subscribers, //
};
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
    /// Who controls VFs from outside.
    #[pin]
    controllers: XArray<Arc<Subscribers>>,
}

impl Routes {
    /// Returns an empty set.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                owners <- XArray::new(AllocKind::Alloc),
                controllers <- XArray::new(AllocKind::Alloc),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns a function.
    pub(crate) fn get(&self, id: FunctionId) -> Option<Arc<Owner>> {
        self.owners.lock().get(id.0.into()).map(Arc::from)
    }

    /// Passes an event on to the clients of the function that it is about, or to who controls it from outside. May sleep.
    pub(crate) fn deliver(&self, event: &Event) {
        let id = FunctionId(event.function.get());
        if let Some(owner) = self.get(id) {
            owner.deliver(event);
        }
        let controllers = self.controllers.lock().get(id.0.into()).map(Arc::from);
        if let Some(controllers) = controllers {
            controllers.deliver(event);
        }
    }

    /// Has who controls VFs from outside look at them anew: events may have been lost, or will not come any more. May sleep.
    pub(crate) fn look_anew(&self) {
        for vf in (0..MAX_VFS).filter_map(FunctionId::vf) {
            self.deliver(&Event {
                kind: U16::new(SaveChange::KIND.0),
                function: U16::new(vf.0),
                ..Event::default()
            });
        }
    }

    /// Lets who controls a VF from outside be told about it, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn control(self: &Arc<Self>, vf: FunctionId) -> Result<Control> {
        let controllers = Arc::pin_init(Subscribers::new(), GFP_KERNEL)?;
        self.controllers
            .lock()
            .store(vf.0.into(), controllers.clone(), GFP_KERNEL)?;
        Ok(Control {
            vf,
            controllers,
            routes: self.clone(),
        })
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

/// A VF that is controlled from outside.
pub(crate) struct Control {
    vf: FunctionId,
    controllers: Arc<Subscribers>,
    routes: Arc<Routes>,
}

impl Control {
    /// Returns the VF.
    pub(crate) fn vf(&self) -> FunctionId {
        self.vf
    }

    /// Returns who is told about it.
    pub(crate) fn controllers(&self) -> &Arc<Subscribers> {
        &self.controllers
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let removed = self.routes.controllers.lock().remove(self.vf.0.into());
        drop(removed);
    }
}
