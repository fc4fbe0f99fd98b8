// SPDX-License-Identifier: GPL-2.0

//! Wakes those who poll a file of a VF: what they wait for may have come about.

use ferrite_abi::event::Event;
use ferrite_aux::EventHandler;
use kernel::{
    fs::File,
    new_poll_condvar,
    prelude::*,
    sync::{
        poll::{
            PollCondVar,
            PollTable, //
        },
        Arc, //
    },
};

/// Something changed about a VF: its state, or what the device has to say of it.
#[pin_data]
pub(crate) struct Changed {
    #[pin]
    waiting: PollCondVar,
}

impl Changed {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                waiting <- new_poll_condvar!("ferrite_vfio_changed"),
            }),
            GFP_KERNEL,
        )
    }

    /// Has who polls `file` wait for the next change.
    pub(crate) fn register(&self, file: &File, table: &PollTable<'_>) {
        table.register_wait(file, &self.waiting);
    }

    /// There was a change: who waits looks again.
    pub(crate) fn notify(&self) {
        self.waiting.notify_all();
    }
}

impl EventHandler for Changed {
    fn event(&self, _event: &Event) {
        self.notify();
    }
}
